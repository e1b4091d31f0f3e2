"""What a data source names, before any image is opened. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from search.data.images import Part
from search.problems import Exit, Problem, SearchError

PART_NAMES: dict[str, Part] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""What a folder or a manifest may call a part."""

SHOWN = 20
"""Problems of one kind that are shown; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One image that the data names."""

    path: str
    """POSIX, relative to the listing's root, without ``..``; unique."""
    label: str
    """The class; of several, their names with ``|`` between; of a number, its text."""
    part: Part | None = None
    """None where the data brings no parts."""
    group: str = ""
    labels: tuple[str, ...] | None = None
    """The classes of the task multilabel, sorted; None for every other."""
    value: float | None = None
    """The number of the task regression; None for every other."""
    line: int = field(default=0, compare=False)
    """Of the manifest that names it, 1-based; 0 where none does."""

    @property
    def strata(self) -> tuple[str, ...]:
        """What its part must have its share of: its class, or each of its classes; to be
        in no class is one of them."""
        return (self.label,) if self.labels is None else self.labels or ("",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All images that the data names, sorted by path."""

    root: Path
    """Absolute, links resolved."""
    images: tuple[Found, ...]
    classes: tuple[str, ...] = ()
    """Classes that the data names although they may have no image (empty folders)."""
    refused: tuple[tuple[str, str], ...] = ()
    """(path, reason) of images that are never opened: they lie outside the data."""
    notes: tuple[str, ...] = ()
    licence: str = ""


def quantity(count: int, noun: str) -> str:
    """``1 image``, ``1,204 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def capped(problems: list[Problem]) -> list[Problem]:
    """The first SHOWN problems and how many more there are."""
    more = len(problems) - SHOWN
    if more <= 0:
        return problems
    return [*problems[:SHOWN], Problem(fact=f"and {more:,} more of this kind", sums_up=True)]


def changed_images(changed: list[Problem]) -> SearchError:
    """The error of images that are no longer what their table says."""
    fix = Problem(
        fact="images changed after they were checked",
        fix="put them back, or run again under another name (--name)",
        sums_up=True,
    )
    return SearchError([*capped(changed), fix], Exit.DATA)
