"""A trial from its first to its last epoch, on real tiny models."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.backbones.stages import build
from search.space.spec import METRICS
from search.training.checkpoint import load_trained, path_of, read, write
from search.training.config import TrialConfig
from search.training.faults import Diverged, OutOfMemory
from search.training.fit import fit
from search.training.prefix import Boundary, ComputedPrefix, Prefix

pytestmark = pytest.mark.slow  # many short trainings: make test has the time

Curve = Callable[..., list[tuple[int, float, tuple[float, ...]]]]
Other = Callable[..., TrialConfig]

TRIALS = [
    pytest.param(depth, policy, id=f"depth_{depth}_{policy}")
    for depth, policy in ((0, "light"), (1, "medium"), (2, "heavy"), (5, "light"))
]


@pytest.mark.parametrize(("depth", "policy"), TRIALS)
def test_twice_interrupted_or_uncached_a_trial_gives_the_same_curve_to_the_bit(
    depth: int, policy: str, other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(unfreeze_depth=depth, augmentation=policy, views=2)
    whole = curve(config, tmp_path / "whole")
    assert [epoch for epoch, *_ in whole] == [1, 2, 3]
    torch.manual_seed(depth)  # what the caller's generators hold must not matter
    np.random.seed(depth)
    begun = curve(config, tmp_path / "cut", stop=1)
    assert begun + curve(config, tmp_path / "cut") == whole
    assert curve(config, prefix=partial(ComputedPrefix, keep_bytes=0)) == whole
    for which in ("best", "last"):
        one = path_of(tmp_path / "whole", which)
        assert load_trained(one.parent, which).epoch == load_trained(tmp_path / "cut", which).epoch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "size", "depth"),
    [
        ("resnet18", 32, 5),
        ("efficientnet_lite0", 32, 1),
        pytest.param("efficientnet_v2_s", 64, 5, marks=pytest.mark.thorough),  # stochastic depth
        pytest.param("alexnet", 64, 1, marks=pytest.mark.thorough),  # dropout in its hidden layers
        pytest.param("convnext_tiny", 32, 2, marks=pytest.mark.thorough),
        pytest.param("swin_t", 32, 1, marks=pytest.mark.thorough),
        pytest.param("vit_b_16", 32, 0, marks=pytest.mark.thorough),
        pytest.param("vit_b_16", 32, 1, marks=pytest.mark.thorough),
    ],
)
def test_every_family_goes_on_to_the_bit(
    backbone: str, size: int, depth: int, other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(
        backbone=backbone, image_size=size, unfreeze_depth=depth, augmentation="heavy", epochs=2
    )
    whole = curve(config)
    assert curve(config, tmp_path, stop=1) + curve(config, tmp_path) == whole
    assert curve(config, prefix=partial(ComputedPrefix, keep_bytes=0)) == whole


def test_a_report_has_every_metric_and_figure(config: TrialConfig, data: Any) -> None:
    staged = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.0, state=None, seed=1)
    first = next(iter(_reports(config, data)))
    assert tuple(first.metrics) == METRICS
    assert first.epoch == 1
    assert first.seconds > 0
    assert first.images_per_second > 26 / first.seconds
    assert 50 < first.peak_memory_mb < 20_000
    assert first.parameters_total == sum(p.numel() for p in staged.parameters())
    stage4 = sum(p.numel() for p in staged.blocks[4].parameters())
    assert first.parameters_trained == stage4 + 1024 * 3 + 3


def _reports(config: TrialConfig, data: Any, **arguments: Any) -> Any:
    from search.backbones.catalogue import CATALOGUE

    given = {
        "data": data,
        "weights": None,
        "weights_hash": "random:0",
        "classes": 3,
        "preprocessing": CATALOGUE[config.backbone].preprocessing,
    }
    return fit(config, **(given | arguments))


@pytest.mark.slow
def test_it_learns_what_can_be_learnt(other: Other, curve: Curve) -> None:
    config = other(
        backbone="resnet18",
        unfreeze_depth=5,
        lr=5e-4,
        backbone_lr_scale=1.0,
        label_smoothing=0.0,
        augmentation="none",
        views=1,
        epochs=6,
    )
    points = curve(config)
    assert points[-1][1] < 0.5 * points[0][1]
    assert points[-1][2][0] > 0.6  # balanced accuracy; chance is 1/3


def test_frozen_blocks_do_not_move_and_trained_ones_do(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    before = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.2, state=None, seed=1)
    state = before.model.state_dict()
    curve(other(unfreeze_depth=1), tmp_path)
    tensors = load_trained(tmp_path, "last").tensors
    assert {before.owners()[name] for name in tensors} == {"stage4", "head"}
    moved = {name for name, tensor in tensors.items() if not torch.equal(tensor, state[name])}
    assert moved == set(tensors)  # batch-norm statistics of the trained block too


def test_the_callers_random_state_is_left_alone(config: TrialConfig, data: Any) -> None:
    torch.manual_seed(42)
    before = torch.get_rng_state()
    for _ in _reports(config, data):
        assert torch.equal(torch.get_rng_state(), before)


def test_the_given_weights_are_left_alone(config: TrialConfig, data: Any) -> None:
    staged = build("mobilenet_v3_small", classes=9, image_size=32, dropout=0.0, state=None, seed=5)
    weights = {
        k: v.clone() for k, v in staged.model.state_dict().items() if k[:13] != "classifier.3."
    }
    copies = {name: tensor.clone() for name, tensor in weights.items()}
    list(_reports(config, data, weights=weights))
    assert all(torch.equal(weights[name], copies[name]) for name in copies)


def test_the_best_epoch_is_kept_by_the_objective(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(unfreeze_depth=0, epochs=6, lr=0.05)
    for objective, maximize in (("accuracy", True), ("loss", False)):
        folder = tmp_path / objective
        points = curve(config, folder, objective=objective, maximize=maximize)
        values = [point[2][METRICS.index(objective)] for point in points]
        best = load_trained(folder, "best")
        assert best.epoch == values.index((max if maximize else min)(values)) + 1
        assert best.metrics[objective] == values[best.epoch - 1]
        assert not best.optimiser


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(
    config: TrialConfig, curve: Curve, tmp_path: Path
) -> None:
    whole = curve(config)
    curve(config, tmp_path, stop=2)
    path = path_of(tmp_path, "last")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    notes: list[str] = []
    assert curve(config, tmp_path, note=notes.append) == whole[1:]
    assert len(notes) == 1
    assert "last.safetensors" in notes[0]


@pytest.mark.parametrize(
    ("changes", "arguments", "named"),
    [
        pytest.param({"lr": 9e-3}, {}, "config", id="other_settings"),
        pytest.param({"seed": 9}, {}, "config", id="other_seed", marks=pytest.mark.slow),
        pytest.param({}, {"weights_hash": "other"}, "weights_hash", id="other_weights"),
    ],
)
def test_a_checkpoint_of_another_trial_is_refused_and_that_is_said(
    changes: dict[str, Any],
    arguments: dict[str, Any],
    named: str,
    other: Other,
    curve: Curve,
    tmp_path: Path,
) -> None:
    curve(other(), tmp_path, stop=2)
    notes: list[str] = []
    points = curve(other(**changes), tmp_path, note=notes.append, **arguments)
    assert points == curve(other(**changes), **arguments)
    assert len(notes) == 2  # the last and the one before
    assert all(f"another trial: {named} differ" in text for text in notes)


@pytest.mark.parametrize("damage", ["flipped", pytest.param("gone", marks=pytest.mark.slow)])
def test_a_lost_best_epoch_is_trained_again_without_reporting_it_twice(
    damage: str, config: TrialConfig, curve: Curve, tmp_path: Path
) -> None:
    whole = curve(config, tmp_path / "whole")
    curve(config, tmp_path / "cut", stop=2)
    best = path_of(tmp_path / "cut", "best")
    if damage == "gone":
        best.unlink()
    else:
        content = best.read_bytes()
        best.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    notes: list[str] = []
    assert curve(config, tmp_path / "cut", reported=2, note=notes.append) == whole[2:]
    assert "trained again" in notes[0]
    expected = load_trained(tmp_path / "whole", "best")
    found = load_trained(tmp_path / "cut", "best")
    assert found.epoch == expected.epoch
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor)


def test_a_report_that_was_lost_on_its_way_is_given_again(
    config: TrialConfig, curve: Curve, tmp_path: Path
) -> None:
    whole = curve(config)
    curve(config, tmp_path, stop=2)
    assert curve(config, tmp_path, reported=1) == whole[1:]
    assert curve(config, tmp_path, reported=0) == whole
    assert curve(config, tmp_path, reported=3) == []
    shutil.rmtree(tmp_path)
    assert curve(config, tmp_path, reported=2) == whole[2:]


class _FailsAt:
    """The real features, until the n-th time they are asked for."""

    def __init__(self, boundary: Boundary, calls: int, error: Exception) -> None:
        self._real = ComputedPrefix(boundary)
        self._left = calls
        self._error = error

    def __call__(self, *arguments: Any) -> torch.Tensor:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return self._real(*arguments)

    def ahead(self, number: int) -> int:
        return self._real.ahead(number)


@pytest.mark.parametrize("calls", [3, pytest.param(1, marks=pytest.mark.slow), 8])
def test_cut_anywhere_the_trial_goes_on_to_the_bit(
    calls: int, other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(unfreeze_depth=1)
    whole = curve(config)

    def failing(boundary: Boundary) -> Prefix:
        return _FailsAt(boundary, calls, KeyboardInterrupt())  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        curve(config, tmp_path, prefix=failing)
    assert torch.is_grad_enabled()
    assert curve(config, tmp_path, reported=0) == whole


def test_a_crash_between_best_and_last_repeats_that_epoch(
    config: TrialConfig, curve: Curve, tmp_path: Path
) -> None:
    whole = curve(config)
    curve(config, tmp_path, stop=1)
    kept = tmp_path / "kept"
    shutil.copy(path_of(tmp_path, "last"), kept)
    curve(config, tmp_path, stop=2)
    shutil.copy(kept, path_of(tmp_path, "last"))
    assert curve(config, tmp_path) == whole[1:]


def test_a_loss_that_is_not_finite_ends_the_trial_at_once(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    with pytest.raises(Diverged, match="epoch 1, step 2: the training loss is not finite"):
        curve(other(unfreeze_depth=0, lr=1e38, warmup=0.0), tmp_path)
    assert not list(tmp_path.iterdir())


def _ask_for_an_exabyte(_: Boundary) -> Prefix:
    torch.empty(2**58)
    raise AssertionError("there was room")


def _cuda_error(_: Boundary) -> Prefix:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def _python_error(_: Boundary) -> Prefix:
    raise MemoryError


@pytest.mark.parametrize("prefix", [_ask_for_an_exabyte, _cuda_error, _python_error])
def test_running_out_of_memory_has_a_name(
    prefix: Callable[[Boundary], Prefix], config: TrialConfig, curve: Curve
) -> None:
    with pytest.raises(OutOfMemory, match=r"memory") as caught:
        curve(config, prefix=prefix)
    assert caught.value.reason == "out_of_memory"


def test_another_error_keeps_its_own_type(config: TrialConfig, curve: Curve) -> None:
    def broken(_: Boundary) -> Prefix:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        curve(config, prefix=broken)


def _pretrained() -> dict[str, torch.Tensor]:
    """A body's tensors as a worker keeps them for all its trials."""
    staged = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.0, state=None, seed=0)
    return {
        name: tensor.clone(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in staged.model.state_dict().items()
        if not name.startswith(staged.head_name)
    }


@pytest.mark.parametrize("depth", [0, 1, 3, 5])
def test_a_trial_leaves_the_tensors_that_it_shares_as_they_were(
    depth: int, other: Callable[..., TrialConfig], curve: Callable[..., list[Any]]
) -> None:
    shared = _pretrained()
    before = {name: tensor.clone() for name, tensor in shared.items()}
    config = other(unfreeze_depth=depth)
    first = curve(config, weights=shared, stop=1)
    assert all(torch.equal(shared[name], tensor) for name, tensor in before.items())
    assert curve(config, weights=shared, stop=1) == first


def test_a_checkpoint_with_a_frozen_tensor_is_not_used_and_harms_no_other_trial(
    other: Callable[..., TrialConfig], curve: Callable[..., list[Any]], tmp_path: Path
) -> None:
    shared = _pretrained()
    before = {name: tensor.clone() for name, tensor in shared.items()}
    config, notes = other(unfreeze_depth=0), []
    whole = curve(config, weights=shared)
    curve(config, tmp_path, weights=shared, stop=1)
    for which in ("best", "last"):
        saved = read(tmp_path, which)
        name = "features.0.0.weight"
        strange = {**saved.tensors, name: torch.zeros_like(shared[name])}
        write(tmp_path, which, replace(saved, tensors=strange))
    (tmp_path / "last.previous.safetensors").unlink(missing_ok=True)
    assert curve(config, tmp_path, weights=shared, note=notes.append) == whole
    assert any("these alone" in note for note in notes)
    assert all(torch.equal(shared[name], tensor) for name, tensor in before.items())
