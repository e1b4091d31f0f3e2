"""What each way of unfreezing does to a model: real tiny trials, epoch by epoch."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from search.backbones.catalogue import CATALOGUE
from search.backbones.stages import BLOCKS, HEAD, Staged, build
from search.data.cache import Room, entries
from search.training.checkpoint import assemble, load_trained
from search.training.config import TrialConfig
from search.training.fit import fit
from search.training.inputs import TrialData
from search.training.optimiser import optimiser, unfreeze
from search.training.phases import depth_at
from search.training.prefix import Boundary, ComputedPrefix, Prefix
from search.training.stored import StoredPrefix, StoreSettings
from search.training.trained import trained_parameters
from search.training.worth import Worth

Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]
OFF = partial(ComputedPrefix, keep_bytes=0)
FROM_THE_HEAD = (HEAD, *reversed(BLOCKS))

STRATEGIES = [
    pytest.param(
        {"finetune": "head_then_partial", "unfreeze_depth": 2},
        id="head_then_partial",
        marks=pytest.mark.slow,
    ),
    pytest.param({"finetune": "gradual", "unfreeze_depth": 2}, id="gradual"),
]


def _model() -> Staged:
    return build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.2, state=None, seed=1)


def _stored(cache: Path) -> Callable[[Boundary], Prefix]:
    settings = StoreSettings(
        cache=cache,
        room=Room(cache, 10**9),
        boundaries=frozenset({3, 4, 5}),
        worth=Worth(storing=lambda sample, device, folder: 0.0),
    )
    return partial(StoredPrefix, settings=settings, note=lambda _: None)


def _moved(before: dict[str, Tensor], after: dict[str, Tensor], owners: dict[str, str]) -> set[str]:
    """Blocks of which any tensor differs, by a bit."""
    return {owners[name] for name in after if not torch.equal(before[name], after[name])}


@pytest.mark.slow
@pytest.mark.parametrize("changes", STRATEGIES)
def test_a_block_moves_from_its_epoch_on_and_not_a_bit_before(
    changes: dict[str, Any], other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(**changes)
    start = _model()
    owners = start.owners()
    before = {name: tensor.clone() for name, tensor in start.model.state_dict().items()}
    for epoch in (1, 2, 3):
        curve(config, tmp_path, stop=epoch)
        saved = load_trained(tmp_path, "last")
        assert saved.epoch == epoch
        depth = depth_at(config, epoch)
        wanted = set(FROM_THE_HEAD[: depth + 1])
        assert {owners[name] for name in saved.tensors} == wanted
        whole = assemble(saved, None, weights_hash="random:0").model.state_dict()
        assert _moved(before, whole, owners) == wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        *STRATEGIES,
        pytest.param(
            {
                "finetune": "gradual",
                "unfreeze_depth": 2,
                "optimiser": "sgd",
                "clip_norm": 0.5,
                "ema": 0.9,
                "layer_decay": 0.5,
            },
            id="gradual_with_sgd_clipped_and_averaged",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_cut_at_any_epoch_it_goes_on_to_the_bit(
    changes: dict[str, Any], other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(**changes, epochs=4)
    whole = curve(config, tmp_path / "whole")
    assert len(whole) == 4
    begun: list[Any] = []
    for _ in range(4):  # a new process for every epoch
        begun += curve(config, tmp_path / "cut", stop=len(begun) + 1)
    assert begun == whole
    one, two = (load_trained(tmp_path / name, "last") for name in ("whole", "cut"))
    assert set(one.optimiser) == set(two.optimiser)
    for name, tensor in {**one.tensors, **one.optimiser}.items():
        assert torch.equal(tensor, {**two.tensors, **two.optimiser}[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("changes", STRATEGIES)
def test_each_phase_reads_the_store_at_its_own_depth_to_the_same_curve(
    changes: dict[str, Any], other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(**changes, views=2, epochs=4)
    off = curve(config, prefix=OFF)
    boundaries: list[int] = []

    def counted(boundary: Boundary) -> Prefix:
        boundaries.append(boundary.frozen)
        return _stored(tmp_path)(boundary)

    assert curve(config, prefix=counted) == off
    assert boundaries == list(
        dict.fromkeys(len(BLOCKS) - depth_at(config, epoch) for epoch in (1, 2, 3, 4))
    )
    assert entries(tmp_path)
    assert curve(config, prefix=_stored(tmp_path)) == off


@pytest.mark.slow
def test_what_a_phase_kept_in_memory_is_given_back_when_the_next_begins(
    other: Other, data: TrialData
) -> None:
    config = other(finetune="gradual", unfreeze_depth=2, views=1)
    made: list[weakref.ref[ComputedPrefix]] = []

    def counted(boundary: Boundary) -> Prefix:
        prefix = ComputedPrefix(boundary)
        made.append(weakref.ref(prefix))
        return prefix

    reports = fit(
        config,
        data=data,
        weights=None,
        weights_hash="random:0",
        classes=3,
        preprocessing=CATALOGUE[config.backbone].preprocessing,
        prefix=counted,
    )
    living = [[ref() is not None for ref in made] for _ in reports]
    assert living == [[True], [False, True], [False, False, True]]


@pytest.mark.slow
def test_the_phases_differ_from_training_all_from_the_start(other: Other, curve: Curve) -> None:
    plain = curve(other(unfreeze_depth=2))
    for changes in ({"finetune": "head_then_partial"}, {"finetune": "gradual"}):
        assert curve(other(unfreeze_depth=2, **changes)) != plain
    alone = curve(other(unfreeze_depth=0))
    assert curve(other(unfreeze_depth=0, finetune="gradual")) == alone


@pytest.mark.slow
def test_the_head_phase_is_that_of_a_trial_of_the_head_alone(other: Other, curve: Curve) -> None:
    deep = curve(other(finetune="head_then_partial", unfreeze_depth=2, head_epochs=2))
    alone = curve(other(unfreeze_depth=0))
    assert deep[:2] == alone[:2]
    assert deep[2] != alone[2]


def test_blocks_join_the_optimiser_without_disturbing_the_moments_of_others(
    other: Other,
) -> None:
    config = other(finetune="gradual", unfreeze_depth=2, layer_decay=0.5)
    staged = _model()
    adamw = optimiser(staged, config)
    staged.set_mode(0, training=False)
    staged(torch.ones(2, 3, 32, 32)).square().mean().backward()
    adamw.step()
    head = trained_parameters(staged, 0)
    moments = {name: adamw.state[p]["exp_avg"].clone() for name, p in head.items()}
    unfreeze(adamw, staged, config, depth=0, deeper=1)
    unfreeze(adamw, staged, config, depth=1, deeper=2)
    for name, parameter in head.items():
        assert torch.equal(adamw.state[parameter]["exp_avg"], moments[name])
        assert adamw.state[parameter]["step"] == 1
    owners = {
        p: owner
        for n, owner in staged.owners().items()
        if (p := dict(staged.model.named_parameters()).get(n)) is not None
    }
    peaks = {owners[p]: group["peak_lr"] for group in adamw.param_groups for p in group["params"]}
    # 3e-3 for the head, a tenth of it for stage 4, half of that for stage 3
    assert peaks == pytest.approx({HEAD: 3e-3, "stage4": 3e-4, "stage3": 1.5e-4})
    held = [p for group in adamw.param_groups for p in group["params"]]
    assert len(held) == len({id(p) for p in held}) == len(trained_parameters(staged, 2))


@pytest.mark.slow
def test_the_best_epoch_of_a_head_phase_is_exported_as_it_was(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(finetune="head_then_partial", unfreeze_depth=1, lr=1e-2, backbone_lr_scale=10.0)
    points = curve(config, tmp_path, objective="loss", maximize=False)
    best = load_trained(tmp_path, "best")
    assert best.epoch == min(range(3), key=lambda at: points[at][2][-1]) + 1
    state = assemble(best, None, weights_hash="random:0").model.state_dict()
    owners = _model().owners()
    before = _model().model.state_dict()
    frozen = {name for name, owner in owners.items() if owner in BLOCKS[:4]}
    assert all(torch.equal(state[name], before[name]) for name in frozen)


@pytest.mark.slow
def test_layer_decay_slows_the_blocks_far_from_the_head(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    owners, before = _model().owners(), _model().model.state_dict()

    def moved(decay: float) -> dict[str, float]:
        config = other(unfreeze_depth=3, layer_decay=decay, epochs=1, weight_decay=0.0)
        curve(config, tmp_path / str(decay))
        tensors = load_trained(tmp_path / str(decay), "last").tensors
        far: dict[str, float] = {}
        for name, tensor in tensors.items():
            if "running" not in name and "batches" not in name:
                step = float((tensor - before[name]).abs().max())
                far[owners[name]] = max(far.get(owners[name], 0.0), step)
        return far

    even, decayed = moved(1.0), moved(0.1)
    # AdamW's first steps are about as long as the rate: a tenth from block to block.
    assert decayed["stage4"] == pytest.approx(even["stage4"], rel=0.3)
    assert decayed["stage3"] == pytest.approx(even["stage3"] / 10, rel=0.5)
    assert decayed["stage2"] == pytest.approx(even["stage2"] / 100, rel=0.5)
