"""The images of a study as one frozen table. No pixel is touched here.

An :class:`ImageTable` is fixed before the first trial and saved with the study
as a manifest; every trial, every tool and the export read the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from search.space.spec import Task

Target: TypeAlias = int | tuple[int, ...] | float
"""What is learnt of an image: the index of its class (multiclass), the indices of its
classes in rising order (multilabel; none is allowed), its value (regression)."""

Part: TypeAlias = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """One labelled image."""

    path: str
    """POSIX, relative to the table's root; unique."""
    label: Target
    """As the table's task says; indices are into its classes."""
    part: Part
    sha256: str
    """Of the file's bytes, 64 hex digits."""
    group: str = ""
    """Rows of one non-empty group are all in one part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedForm:
    """What images are decoded to."""

    side: int
    """Of the squares, pixels; ``store.decoded_side`` of a model's input."""
    interpolation: str
    """``bilinear`` or ``bicubic``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTable:
    """All readable images of a study with labels and parts, sorted by path."""

    root: Path
    """Absolute."""
    classes: tuple[str, ...]
    """Label names, sorted; the index is the label. Empty for a regression."""
    rows: tuple[ImageRow, ...]
    fingerprint: str
    """sha256 over sorted (relative path, content hash, label name, part)."""
    licence: str = ""
    """What must be said when a shipped sample is used; empty otherwise."""
    task: Task = "multiclass"
    unit: str = ""
    """Of the values of a regression; empty where none was named."""

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for an image: one a class, or the value."""
        return 1 if self.task == "regression" else len(self.classes)

    def part(self, part: Part) -> tuple[ImageRow, ...]:
        """The rows of one part, in the table's order."""
        return tuple(row for row in self.rows if row.part == part)

    def counts(self) -> dict[Part, int]:
        """Images in each part."""
        return {part: len(self.part(part)) for part in PARTS}

    def absolute(self, row: ImageRow) -> Path:
        """Where a row's file is."""
        return self.root / row.path
