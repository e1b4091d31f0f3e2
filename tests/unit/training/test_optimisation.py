"""What each setting of the optimisation does to a whole trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search.backbones.catalogue import CATALOGUE
from search.training.checkpoint import Checkpoint, assemble, load_trained, read
from search.training.config import TrialConfig
from search.training.inputs import EVALUATION, TrialData
from search.training.metrics import metrics
from search.training.optimiser import decays
from search.training.predict import probabilities
from search.training.prefix import ComputedPrefix
from search.training.run import Run, start

pytestmark = pytest.mark.slow  # many short trainings: make test has the time
Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]

SGD: dict[str, Any] = {"optimiser": "sgd", "lr": 0.05, "weight_decay": 1e-4}
OPTIONS: list[Any] = [
    pytest.param(SGD, id="sgd"),
    pytest.param({**SGD, "momentum": 0.0}, id="sgd_without_momentum"),
    pytest.param({**SGD, "finetune": "gradual", "unfreeze_depth": 2}, id="sgd_gradual"),
    pytest.param({"lr_schedule": "linear"}, id="linear"),
    pytest.param({"lr_schedule": "step", "step_factor": 0.5}, id="step"),
    pytest.param({"lr_schedule": "constant"}, id="constant"),
    pytest.param({"lr_schedule": "one_cycle", "warmup": 0.3}, id="one_cycle"),
    pytest.param({"clip_norm": 0.1}, id="clip_norm"),
    pytest.param({"micro_batch": 3}, id="micro_batch"),
    pytest.param({"l1": 0.1}, id="l1"),
    pytest.param({"ema": 0.8}, id="ema"),
    pytest.param({"ema": 0.8, "finetune": "gradual", "unfreeze_depth": 2}, id="ema_gradual"),
    pytest.param({"ema": 0.8, "batch_norm": "train"}, id="ema_batch_norm_train"),
]
BESIDES = ("finetune", "unfreeze_depth", "batch_norm", "warmup", "lr", "weight_decay")
"""What of an option is not what is tried."""
WEIGHTS = "random:0"


@pytest.mark.parametrize("settings", OPTIONS)
def test_every_option_changes_the_trial_and_an_interrupted_one_equals_the_whole(
    settings: dict[str, Any], other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(epochs=3, **settings)
    without = other(epochs=3, **{k: v for k, v in settings.items() if k in BESIDES})
    whole = curve(config, tmp_path / "whole")
    assert whole != curve(without)
    curve(config, tmp_path / "halves", stop=2)
    assert curve(config, tmp_path / "halves") == whole[2:]
    for which in ("best", "last"):
        one, two = (read(tmp_path / folder, which) for folder in ("whole", "halves"))
        for mine, theirs in zip(_parts(one), _parts(two), strict=True):
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_named_defaults_change_no_bit(other: Other, curve: Curve) -> None:
    named = other(optimiser="adamw", momentum=0.5, lr_schedule="cosine", clip_norm=0.0, l1=0.0)
    assert curve(named, stop=2) == curve(other(), stop=2)
    assert curve(other(clip_norm=1e9), stop=1) == curve(other(), stop=1)


def test_a_micro_batch_is_what_memory_would_have_made_of_it_and_the_smaller_wins(
    other: Other, curve: Curve
) -> None:
    notes: list[str] = []
    asked = curve(other(micro_batch=4), note=notes.append)
    assert notes == []  # it was asked for
    assert asked == curve(other(), micro_batch=4)
    assert asked == curve(other(micro_batch=6), micro_batch=4, note=notes.append)
    assert asked == curve(other(micro_batch=4), micro_batch=6)
    assert notes == [
        "its batch-norm layers see 4 images at once, not 6: "
        "its result may differ from that of whole batches"
    ]


def test_l1_makes_weights_zero_and_no_norm_or_bias(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    curve(other(l1=1.0, backbone_lr_scale=1.0), tmp_path / "l1")
    curve(other(backbone_lr_scale=1.0), tmp_path / "plain")
    shares = {}
    for folder in ("l1", "plain"):
        tensors = load_trained(tmp_path / folder, "last").tensors
        weights = [t for name, t in tensors.items() if decays(name, t)]
        assert len(weights) > 2
        zeros = sum(int((tensor == 0).sum()) for tensor in weights)
        shares[folder] = zeros / sum(tensor.numel() for tensor in weights)
        assert float(tensors["classifier.3.bias"].abs().min()) > 0
    assert shares["plain"] < 0.001
    assert shares["l1"] > 0.05


def test_a_clipped_step_moves_no_further_than_its_rate_times_the_norm(
    other: Other, curve: Curve, data: TrialData, tmp_path: Path
) -> None:
    plain: dict[str, Any] = {"optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0, "epochs": 1}
    config = other(unfreeze_depth=0, lr_schedule="constant", warmup=0.0, lr=0.1, **plain)
    curve(config, tmp_path / "free")
    curve(replace(config, clip_norm=0.01), tmp_path / "clipped")
    state = _started(config, data).staged.model.state_dict()
    free, bound = (
        sum(float((t - state[n]).square().sum()) for n, t in tensors.items()) ** 0.5
        for tensors in (load_trained(tmp_path / f, "last").tensors for f in ("free", "clipped"))
    )
    steps = load_trained(tmp_path / "free", "last").step
    assert bound <= steps * 0.1 * 0.01 * 1.001
    assert free > 2 * steps * 0.1 * 0.01


def test_averages_are_evaluated_kept_and_exported_and_the_weights_go_on(
    other: Other, curve: Curve, data: TrialData, tmp_path: Path
) -> None:
    config = other(ema=0.9)
    points = curve(config, tmp_path / "ema")
    plain = curve(other(), tmp_path / "plain")
    assert [loss for _, loss, _ in points] == [
        loss for _, loss, _ in plain
    ]  # training is as it was
    assert [values for *_, values in points] != [values for *_, values in plain]
    last, raw = read(tmp_path / "ema", "last"), read(tmp_path / "plain", "last")
    assert last.ema.keys() == last.tensors.keys()
    assert raw.ema == {}
    for name, tensor in raw.tensors.items():
        assert torch.equal(last.tensors[name], tensor), name
    differ = {
        name for name, tensor in last.ema.items() if not torch.equal(tensor, raw.tensors[name])
    }
    counters = {name for name in last.ema if name.endswith("num_batches_tracked")}
    assert differ == last.ema.keys() - counters

    best = load_trained(tmp_path / "ema", "best")
    assert best.ema == {}
    if best.epoch == last.epoch:
        assert all(torch.equal(tensor, last.ema[name]) for name, tensor in best.tensors.items())
    run = _started(config, data)
    run.staged.model.load_state_dict(assemble(best, None, weights_hash=WEIGHTS).model.state_dict())
    run.staged.set_mode(0, training=False)
    found_NK = probabilities(
        run.staged,
        lambda chosen: run.prefix("val", chosen, EVALUATION),
        len(data.val),
        start=run.frozen,
        device=run.device,
    )
    assert metrics(found_NK, data.val.labels) == pytest.approx(best.metrics, abs=1e-5)


def _parts(saved: Checkpoint) -> list[Any]:
    return [saved.tensors, saved.optimiser, saved.ema]


def _started(config: TrialConfig, data: TrialData) -> Run:
    """A trial before its first step."""
    return start(
        config,
        data=data,
        weights=None,
        preprocessing=CATALOGUE[config.backbone].preprocessing,
        weights_hash=WEIGHTS,
        classes=3,
        device="cpu",
        prefix=ComputedPrefix,
    )
