"""Stored activations: the same features to the last bit, computed once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.data.cache import entries
from search.training import activations
from search.training.inputs import EVALUATION, TrialData
from search.training.prefix import ComputedPrefix
from tests.unit.training.frozen import Store, images_seen, shuffled, tiny_boundary


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "frozen", "activations"),
    [
        # In the fast tests: every boundary, every policy and every precision, not all of them
        # with each other.
        pytest.param(
            policy,
            frozen,
            activations,
            marks=[]
            if (policy, activations) == ("medium", "float16") or frozen == 5
            else pytest.mark.slow,
        )
        for policy in ("none", "light", "medium", "heavy")
        for frozen in range(6)
        for activations in ("float16", "float32")
    ],
)
def test_stored_features_are_those_that_are_computed(
    data: TrialData, store: Store, frozen: int, policy: str, activations: str
) -> None:
    boundary = tiny_boundary(data, frozen, policy=policy, activations=activations)
    rows = shuffled(data)
    for part, chosen, number in (("train", rows, 2), ("val", rows[:5] % len(data.val), EVALUATION)):
        wanted = ComputedPrefix(boundary, keep_bytes=0)(part, chosen, number)  # type: ignore[arg-type]
        filled = store.open(boundary)(part, chosen, number)  # type: ignore[arg-type]
        read = store.open(boundary)(part, chosen, number)  # type: ignore[arg-type]
        for found in (filled, read):
            assert torch.equal(found, wanted)
            assert found.stride() == wanted.stride()
            assert found.dtype == wanted.dtype


@pytest.mark.slow
def test_what_is_stored_is_not_computed_again(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(tiny_boundary(data, 5))("train", shuffled(data), 0)
    later = tiny_boundary(data, 5)
    seen = images_seen(later, monkeypatch)
    store.open(later)("train", shuffled(data), 0)
    assert not seen


@pytest.mark.slow
def test_one_forward_pass_fills_every_boundary_that_is_wanted(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(tiny_boundary(data, 5))("train", shuffled(data), 0)
    for frozen in (4, 3, 2, 1):
        later = tiny_boundary(data, frozen)
        seen = images_seen(later, monkeypatch)
        store.open(later)("train", shuffled(data), 0)
        assert not seen


@pytest.mark.slow
def test_a_deeper_boundary_goes_on_from_the_nearest_that_is_stored(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(tiny_boundary(data, 3))("train", shuffled(data), 0)
    later = tiny_boundary(data, 5)
    wanted = ComputedPrefix(later, keep_bytes=0)("train", shuffled(data), 0)
    seen = images_seen(later, monkeypatch)
    assert torch.equal(store.open(later)("train", shuffled(data), 0), wanted)
    assert not seen


def test_only_wanted_boundaries_are_stored(data: TrialData, tmp_path: Path) -> None:
    Store(tmp_path, boundaries=frozenset({5})).open(tiny_boundary(data, 5))(
        "train", shuffled(data), 0
    )
    assert {entry.path.name[:2] for entry in entries(tmp_path)} == {"b5"}


@pytest.mark.slow
def test_another_split_of_the_same_images_computes_only_what_is_new(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = data.train
    half = replace(
        train, rows=train.rows[::2], labels=train.labels[::2], keys=train.keys[::2].copy()
    )
    store.open(tiny_boundary(replace(data, train=half), 5))("train", np.arange(len(half)), 0)
    later = tiny_boundary(data, 5)
    seen = images_seen(later, monkeypatch)
    rows = np.arange(len(train))
    found = store.open(later)("train", rows, 0)
    new = len(train) - len(half)
    assert sum(seen) == -(-new // 16) * 16
    monkeypatch.undo()
    assert torch.equal(found, ComputedPrefix(later, keep_bytes=0)("train", rows, 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"weights_hash": "other"},
        {"activations": "float32"},
        {"policy": "heavy"},
    ],
)
def test_other_weights_precision_or_policy_share_nothing(
    data: TrialData, store: Store, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(tiny_boundary(data, 5))("train", shuffled(data), 0)
    other = tiny_boundary(data, 5, **change)
    seen = images_seen(other, monkeypatch)
    store.open(other)("train", shuffled(data), 0)
    assert seen


def test_evaluation_is_shared_between_policies(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(tiny_boundary(data, 5))("val", np.arange(len(data.val)), EVALUATION)
    other = tiny_boundary(data, 5, policy="heavy")
    seen = images_seen(other, monkeypatch)
    store.open(other)("val", np.arange(len(data.val)), EVALUATION)
    assert not seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DECODER", "another"),
        ("AUGMENTATION_VERSION", 0),
        ("_libraries", lambda backbone: ["torchvision 0.0"]),
        ("chunk_size", lambda device: 8),
    ],
)
def test_what_makes_features_otherwise_makes_another_family(
    name: str, value: object, data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = tiny_boundary(data, 5)
    store.open(boundary)
    monkeypatch.setattr(activations, name, value)
    store.open(boundary)
    assert len(list((store.settings.cache / "activations").iterdir())) == 2
