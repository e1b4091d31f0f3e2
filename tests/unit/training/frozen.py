"""A tiny model with frozen blocks, and a store for what they put out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.backbones.catalogue import CATALOGUE
from search.backbones.stages import build
from search.data.cache import Room
from search.training.inputs import Geometry, TrialData
from search.training.prefix import Boundary
from search.training.recipe import RECIPES
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth

ALL = frozenset({1, 2, 3, 4, 5})
PLENTY = 10**9


def tiny_boundary(data: TrialData, frozen: int, **changes: Any) -> Boundary:
    policy = changes.pop("policy", "medium")
    staged = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.0, state=None, seed=0)
    staged.to(memory_format=torch.channels_last).set_mode(5 - frozen, training=True)
    boundary = Boundary(
        staged=staged,
        frozen=frozen,
        data=data,
        geometry=Geometry(
            image_size=32,
            preprocessing=CATALOGUE["mobilenet_v3_small"].preprocessing,
            recipe=RECIPES.get(policy),
            augmentation_seed=3,
        ),
        weights_hash="random:0",
        device=torch.device("cpu"),
        epochs=4,
        views=4,
    )
    return replace(boundary, **changes)


class Store:
    """A cache folder, and what was said about it."""

    def __init__(self, cache: Path, budget: int = PLENTY, boundaries: frozenset[int] = ALL) -> None:
        self.notes: list[str] = []
        self.settings = StoreSettings(
            cache=cache,
            room=Room(cache, budget),
            boundaries=boundaries,
            # These tests are of the store, whatever the machine is busy with.
            worth=Worth(storing=lambda sample, device, folder: 0.0),
        )

    def open(self, boundary: Boundary) -> StoredPrefix:
        return StoredPrefix(boundary, self.settings, self.notes.append)


def images_seen(boundary: Boundary, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Chunks that went through the stem."""
    seen: list[int] = []
    original = boundary.staged.forward_blocks

    def counted(x: torch.Tensor, start: int = 0, stop: int = 5) -> torch.Tensor:
        if start == 0:
            seen.append(len(x))
        return original(x, start, stop)

    monkeypatch.setattr(boundary.staged, "forward_blocks", counted)
    return seen


def shuffled(data: TrialData) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(0).permutation(len(data.train))
