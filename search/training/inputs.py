"""From decoded images to a model's input: one view of some rows, on the device.

Reads the memory-mapped store row by row, takes rows from the device's memory where
they are (``resident.py``), or has rows decoded where there is no store; holds no
other image beyond the batch and, of the last, a few that come next.
N images of a part, M images of the store, B batch, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.backbones.info import Preprocessing
from search.data.images import ImageTable, Part
from search.data.targets import Targets, scale_of, targets_of
from search.training import warp
from search.training.augmentation import draw
from search.training.draws import keys_of
from search.training.readout import Readout
from search.training.recipe import Recipe

EVALUATION = -1
"""The view that evaluation sees: nothing random."""


class Decoding(Protocol):
    """Images that are in no array, but decoded when rows are asked for."""

    shape: tuple[int, int, int, int]
    ndim: int

    def __len__(self) -> int:
        """M."""

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some rows, [B, side, side, 3]."""

    def expect(self, rows: NDArray[np.int64]) -> None:
        """Say which rows will be asked for next, in order; a row may come again."""


Pixels: TypeAlias = NDArray[np.uint8] | Decoding
"""[M, side, side, 3] RGB, uint8."""


def expect(images: Pixels, rows: NDArray[np.int64]) -> None:
    """Let images be decoded ahead of what is asked for; an array needs no warning."""
    if not isinstance(images, np.ndarray):
        images.expect(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The images of one part, as rows of a store shared by all parts."""

    images: Pixels
    """[M, side, side, 3] RGB, may be memory-mapped; side is 1.25 x image_size."""
    rows: NDArray[np.int64]
    """[N] rows of ``images``."""
    labels: Targets
    """Of N images: class indices, a row of classes each, or values in their unit."""
    keys: NDArray[np.uint64]
    """[N] words of the files' hashes; they determine the views."""
    resident: Tensor | None = None
    """[M, side, side, 3] ``images`` once more, on the trials' device, where they fit."""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[1] != self.images.shape[2]:
            raise ValueError(f"need images [M, side, side, 3], got {self.images.shape}")
        if not len(self.rows) == len(self.labels) == len(self.keys) > 0:
            raise ValueError(
                "need as many rows as labels and keys, at least one, got "
                f"{len(self.rows)}, {len(self.labels)}, {len(self.keys)}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, chosen: NDArray[np.int64], device: torch.device) -> Tensor:
        """[B, side, side, 3] uint8 of some of the part, on ``device``."""
        rows = self.rows[chosen]
        if self.resident is not None and self.resident.device.type == device.type:
            return self.resident[torch.from_numpy(rows).to(device, non_blocking=True)]
        pixels = torch.from_numpy(self.images[rows])
        if device.type == "cuda":
            return pixels.pin_memory().to(device, non_blocking=True)
        return pixels

    def expect(self, chosen: NDArray[np.int64]) -> None:
        """Say which of the part will be looked at next, in order; one may come again."""
        expect(self.images, self.rows[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialData:
    """What a trial learns from and is judged on. The test part is not here."""

    train: Examples
    val: Examples
    readout: Readout = field(default_factory=Readout)
    """What the model's outputs mean."""

    def part(self, part: Part) -> Examples:
        """``train`` or ``val``.

        Raises:
            ValueError: For any other part.
        """
        if part not in ("train", "val"):
            raise ValueError(f"a trial has no part {part!r}")
        return self.train if part == "train" else self.val


def examples(
    table: ImageTable, images: Pixels, part: Part, *, resident: Tensor | None = None
) -> Examples:
    """One part of a table whose decoded images are ``images``, in table order."""
    if len(images) != len(table.rows):
        raise ValueError(f"{len(images)} decoded images for {len(table.rows)} rows")
    chosen = [number for number, row in enumerate(table.rows) if row.part == part]
    return Examples(
        images=images,
        rows=np.array(chosen, dtype=np.int64),
        labels=targets_of(table, [table.rows[number] for number in chosen]),
        keys=keys_of([table.rows[number].sha256 for number in chosen]),
        resident=resident,
    )


def trial_data(table: ImageTable, images: Pixels, *, resident: Tensor | None = None) -> TrialData:
    """The train and val parts of a table; ``images`` as in :func:`examples`."""
    return TrialData(
        train=examples(table, images, "train", resident=resident),
        val=examples(table, images, "val", resident=resident),
        readout=Readout(task=table.task, scale=scale_of(table)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Everything but the image that determines a view's pixels."""

    image_size: int
    preprocessing: Preprocessing
    recipe: Recipe | None
    """What can happen to an image; None: every view is the one of evaluation."""
    augmentation_seed: int


def view(
    data: Examples,
    chosen: NDArray[np.int64],
    number: int,
    geometry: Geometry,
    device: torch.device,
) -> Tensor:
    """One view of some images of a part, normalised.

    Args:
        data: The part.
        chosen: [B] indices into the part.
        number: Of the view, >= 0, or EVALUATION. Without a recipe there is one
            view, which is the evaluation's.
        geometry: Size, recipe and seed.
        device: Where to make it.

    Returns:
        [B, C, size, size] float32, channels_last.
    """
    pixels = data.pixels(chosen, device)
    size = geometry.image_size
    if number == EVALUATION or geometry.recipe is None:
        images = warp.evaluated(pixels, image_size=size, preprocessing=geometry.preprocessing)
        return warp.normalised(images, geometry.preprocessing)
    draws = draw(
        geometry.recipe,
        seed=geometry.augmentation_seed,
        view=number,
        keys=data.keys[chosen],
        image_size=size,
    )
    images = warp.augmented(pixels, draws, image_size=size)
    images = warp.normalised(images, geometry.preprocessing)
    return images if draws.erased is None else warp.erase(images, draws.erased)
