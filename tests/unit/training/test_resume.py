"""Which best weights may stay beside the checkpoint that a trial goes on from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.training.checkpoint import Checkpoint, read, write
from search.training.config import TrialConfig

pytestmark = pytest.mark.slow  # many short trainings: make test has the time
Curve = Callable[..., list[Any]]


def _at(checkpoint: Checkpoint, accuracy: list[float], loss: list[float]) -> Checkpoint:
    """``checkpoint`` after as many epochs as there are values."""
    report = checkpoint.curve[0]
    curve = tuple(
        replace(
            report,
            epoch=epoch,
            metrics={**report.metrics, "accuracy": values[0], "loss": values[1]},
        )
        for epoch, values in enumerate(zip(accuracy, loss, strict=True), start=1)
    )
    return replace(checkpoint, epoch=len(curve), curve=curve)


@pytest.mark.parametrize(
    ("accuracy", "loss", "why"),
    [
        pytest.param([0.5], [0.9], "", id="the_best"),
        pytest.param([0.5, 0.4, 0.6], [0.9, 0.8, 0.7], "", id="one_ahead_and_better"),
        pytest.param(
            [0.5, 0.4], [0.9, 0.8], "epoch 1 was the best, the file has epoch 2", id="not_the_best"
        ),
        pytest.param(
            [0.5, 0.4, 0.3, 0.6],
            [0.9, 0.8, 0.7, 0.6],
            "epoch 1 was the best, the file has epoch 4",
            id="two_ahead",
        ),
        pytest.param(
            [0.5, 0.4, 0.3],
            [0.9, 0.8, 0.7],
            "the file has epoch 3, by accuracy epoch 1 was the best",
            id="one_ahead_but_the_best_by_another_metric",
        ),
    ],
)
def test_the_best_weights_are_of_the_best_recorded_epoch_or_of_the_one_being_recorded(
    accuracy: list[float],
    loss: list[float],
    why: str,
    other: Callable[..., TrialConfig],
    curve: Curve,
    tmp_path: Path,
) -> None:
    config = other(unfreeze_depth=0, epochs=5)
    curve(config, tmp_path, stop=2, objective="accuracy")
    last = read(tmp_path, "last")
    write(tmp_path, "last", _at(last, [0.5, 0.4], [0.9, 0.8]))
    write(tmp_path, "best", _at(read(tmp_path, "best"), accuracy, loss))
    notes: list[str] = []
    points = curve(config, tmp_path, stop=3, objective="accuracy", note=notes.append)
    assert points[0][0] == (1 if why else 3)
    assert [why in note for note in notes] == ([True] if why else [])


def test_under_another_metric_whose_best_epoch_differs_the_best_is_trained_again(
    other: Callable[..., TrialConfig], curve: Curve, tmp_path: Path
) -> None:
    config = other(unfreeze_depth=0, epochs=3)
    curve(config, tmp_path, stop=2, objective="accuracy")
    write(tmp_path, "last", _at(read(tmp_path, "last"), [0.5, 0.4], [0.9, 0.8]))
    write(tmp_path, "best", _at(read(tmp_path, "best"), [0.5], [0.9]))
    notes: list[str] = []
    curve(config, tmp_path, objective="loss", maximize=False, note=notes.append)
    assert len(notes) == 1
    assert "epoch 2 was the best, the file has epoch 1" in notes[0]
