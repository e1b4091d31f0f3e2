"""A trial ends itself when its own validation gets no better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from search.backbones.catalogue import CATALOGUE
from search.space.spec import PatienceSpec
from search.training.checkpoint import load_trained
from search.training.config import TrialConfig
from search.training.fit import fit
from search.training.patience import worn_out
from search.training.report import EpochReport

Other = Callable[..., TrialConfig]
NAN = float("nan")


def _curve(losses: Sequence[float], accuracies: Sequence[float]) -> list[EpochReport]:
    return [
        EpochReport(
            epoch=epoch,
            metrics={"loss": loss, "accuracy": accuracy},
            train_loss=1.0,
            seconds=1.0,
            images_per_second=1.0,
            peak_memory_mb=1.0,
            parameters_trained=1,
            parameters_total=1,
        )
        for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    ("metric", "epochs", "full", "losses", "accuracies", "expected"),
    [
        pytest.param("loss", 2, 1, [0.9, 0.8, 0.7], [0.1] * 3, "", id="it_improves"),
        pytest.param("loss", 2, 1, [0.9, 0.8, 0.8], [0.1] * 3, "", id="one_without"),
        pytest.param(
            "loss",
            2,
            1,
            [0.9, 0.8, 0.8, 0.85],
            [0.1] * 4,
            "loss has not improved for 2 epochs: 0.800 at epoch 2",
            id="equal_is_no_improvement",
        ),
        pytest.param(
            "objective",
            1,
            1,
            [0.9, 0.8],
            [0.5, 0.4],
            "accuracy has not improved for 1 epoch: 0.500 at epoch 1",
            id="objective",
        ),
        pytest.param("loss", 2, 3, [0.5, 0.6, 0.7], [0.1] * 3, "", id="one_at_full_depth"),
        pytest.param(
            "loss",
            2,
            3,
            [0.5, 0.6, 0.7, 0.6],
            [0.1] * 4,
            "loss has not improved for 2 epochs: 0.500 at epoch 1",
            id="two_at_full_depth",
        ),
        pytest.param("loss", 2, 1, [0.9, NAN, 0.8], [0.1] * 3, "", id="nan_is_no_improvement"),
    ],
)
def test_the_end_matches_the_table(
    metric: Literal["loss", "objective"],
    epochs: int,
    full: int,
    losses: list[float],
    accuracies: list[float],
    expected: str,
) -> None:
    found = worn_out(
        _curve(losses, accuracies),
        PatienceSpec(metric=metric, epochs=epochs),
        objective="accuracy",
        maximize=True,
        full_depth=full,
    )
    assert found == expected


def _train(config: TrialConfig, data: Any, folder: Path, **more: Any) -> list[EpochReport]:
    stop = more.pop("stop", None)
    reports = fit(
        config,
        data=data,
        weights=None,
        weights_hash="random:0",
        classes=3,
        preprocessing=CATALOGUE[config.backbone].preprocessing,
        folder=folder,
        objective="loss",
        maximize=False,
        **more,
    )
    found = []
    for report in reports:
        found.append(report)
        if report.epoch == stop:
            reports.close()
            break
    return found


@pytest.mark.slow
def test_a_trial_ends_after_the_epochs_that_did_not_improve_and_keeps_its_best(
    other: Other, data: Any, tmp_path: Path
) -> None:
    # A head that learns far too fast: the loss is best at its first epochs.
    config = other(unfreeze_depth=0, lr=1.0, epochs=12, warmup=0.0)
    whole = _train(config, data, tmp_path / "whole")
    losses = [report.metrics["loss"] for report in whole]
    patience = PatienceSpec(epochs=2)
    # By hand: the first epoch that comes two after the best so far.
    ends = next(
        epoch
        for epoch in range(1, 13)
        if epoch - (losses.index(min(losses[:epoch])) + 1) == patience.epochs
    )
    assert ends < 12
    found = _train(config, data, tmp_path / "early", patience=patience)
    assert [report.metrics["loss"] for report in found] == losses[:ends]
    assert [bool(report.stopped_early) for report in found] == [False] * (ends - 1) + [True]
    assert load_trained(tmp_path / "early", "best").epoch == losses.index(min(losses[:ends])) + 1

    # Killed before its last report was kept: it comes to the same end again.
    again = _train(config, data, tmp_path / "early", patience=patience, reported=ends - 1)
    assert [(report.epoch, report.stopped_early) for report in again] == [
        (ends, found[-1].stopped_early)
    ]
    cut = _train(config, data, tmp_path / "cut", patience=patience, stop=ends - 1)
    cut += _train(config, data, tmp_path / "cut", patience=patience, reported=ends - 1)
    assert [(r.epoch, r.stopped_early) for r in cut] == [(r.epoch, r.stopped_early) for r in found]


@pytest.mark.slow
def test_the_last_epoch_is_no_early_end(other: Other, data: Any, tmp_path: Path) -> None:
    config = other(unfreeze_depth=0, lr=1.0, epochs=3, warmup=0.0)
    found = _train(config, data, tmp_path, patience=PatienceSpec(epochs=2))
    assert (found[-1].epoch, found[-1].stopped_early) == (3, "")
