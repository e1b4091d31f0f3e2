"""Batch-norm statistics of frozen blocks: still, or moved by the images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from search.backbones.stages import build
from search.data.cache import Room, entries
from search.training.checkpoint import assemble, load_trained
from search.training.config import TrialConfig
from search.training.prefix import Boundary, ComputedPrefix, Prefix
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth

Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _changed(config: TrialConfig, curve: Curve, folder: Path) -> dict[str, set[str]]:
    """Kinds of tensors that moved, by block: ``statistics`` and ``weights``."""
    start = build(
        config.backbone, classes=3, image_size=32, dropout=0.2, state=None, seed=config.seed
    )
    before = {name: tensor.clone() for name, tensor in start.model.state_dict().items()}
    curve(config, folder)
    state = assemble(load_trained(folder, "last"), None, weights_hash="random:0").model.state_dict()
    found: dict[str, set[str]] = {}
    for name, owner in start.owners().items():
        if not torch.equal(before[name], state[name]):
            kind = "statistics" if name.endswith(STATISTICS) else "weights"
            found.setdefault(owner, set()).add(kind)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        pytest.param(
            "frozen", {"stage4": {"statistics", "weights"}, "head": {"weights"}}, id="frozen"
        ),
        pytest.param(
            "train",
            {
                **{block: {"statistics"} for block in ("stem", "stage1", "stage2", "stage3")},
                "stage4": {"statistics", "weights"},
                "head": {"weights"},
            },
            id="train",
        ),
    ],
)
def test_statistics_of_frozen_blocks_move_where_they_are_to_and_their_weights_never(
    setting: str, expected: dict[str, set[str]], other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(unfreeze_depth=1, batch_norm=setting, epochs=1)
    assert _changed(config, curve, tmp_path) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"unfreeze_depth": 1}, id="partial"),
        pytest.param({"unfreeze_depth": 0}, id="head_alone", marks=pytest.mark.slow),
        pytest.param(
            {"unfreeze_depth": 1, "finetune": "head_then_partial"},
            id="phases",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_trial_whose_statistics_move_stores_nothing_says_so_and_goes_on_to_the_bit(
    changes: dict[str, Any], other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(batch_norm="train", **changes)
    notes: list[str] = []
    whole = curve(config, prefix=partial(ComputedPrefix, keep_bytes=0), note=notes.append)
    assert len(notes) == 1
    assert "batch_norm: train" in notes[0]
    assert "not stored" in notes[0]
    cache = tmp_path / "cache"
    settings = StoreSettings(
        cache=cache,
        room=Room(cache, 10**9),
        boundaries=frozenset({4, 5}),
        worth=Worth(storing=lambda sample, device, folder: 0.0),
    )

    def stored(boundary: Boundary) -> Prefix:
        assert boundary.frozen == 0
        return StoredPrefix(boundary, settings, lambda _: None)

    assert curve(config, prefix=stored) == whole
    assert not entries(cache)
    begun = curve(config, tmp_path / "cut", stop=1)
    begun += curve(config, tmp_path / "cut", stop=2)
    assert begun + curve(config, tmp_path / "cut") == whole
    assert whole != curve(other(**changes))


@pytest.mark.parametrize(
    ("backbone", "depth"),
    [
        pytest.param("mobilenet_v3_small", 5, id="nothing_is_frozen"),
        pytest.param("vit_b_16", 0, id="no_batch_norm", marks=pytest.mark.slow),
    ],
)
def test_where_there_is_nothing_to_move_the_setting_changes_nothing(
    backbone: str, depth: int, other: Other, curve: Curve
) -> None:
    changes = {"backbone": backbone, "unfreeze_depth": depth, "epochs": 1}
    notes: list[str] = []
    moved = curve(other(**changes, batch_norm="train"), note=notes.append)
    assert moved == curve(other(**changes))
    assert not notes
