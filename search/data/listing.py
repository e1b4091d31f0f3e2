"""What a data source names, before any image is opened. Pure values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
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
    part: Part | None = None
    """None where the data brings no parts."""
    group: str = ""


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


def _more(count: int) -> str:
    """What can be done for a class that lacks so many images."""
    return (
        f"add {quantity(count, 'image')} to it; or leave the class out (its folder, or its lines)"
    )


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def check_classes(
    images: Iterable[Found], named: Iterable[str], *, where: str, bad: Counter[str] | None = None
) -> None:
    """Every class has at least 3 images, one of them in train, and there are two classes.

    Args:
        images: What is left to learn from.
        named: Classes that must be there even without an image.
        where: What the images come from, for the message.
        bad: Images of each class that were left out.

    Raises:
        SearchError: Exit.DATA, naming every such class.
    """
    images = list(images)
    counts = Counter(image.label for image in images)
    learnt = Counter(image.label for image in images if image.part in (None, "train"))
    labels = sorted({*counts, *named})
    if not labels:
        raise SearchError(
            [Problem(fact=f"{where} holds no images", fix="a folder of images for each class")],
            Exit.DATA,
        )
    if len(labels) > len(images) / 3 and all(map(_is_number, labels)) and len(labels) > 3:
        raise SearchError(
            [
                Problem(
                    fact=f"the labels of {where} are {len(labels):,} different numbers on "
                    f"{quantity(len(images), 'image')}: a quantity to predict, not classes",
                    fix="this version tells classes apart; put ranges of it into classes, "
                    "e.g. low, middle, high",
                )
            ],
            Exit.DATA,
        )
    problems = []
    for label in labels:
        if counts[label] < 3:
            left_out = f" ({bad[label]} unreadable)" if bad and bad[label] else ""
            problems.append(
                Problem(
                    fact=f"class {label!r} has {quantity(counts[label], 'image')}{left_out}; "
                    "3 are needed, one for each of train, val and test",
                    fix=_more(3 - counts[label]),
                )
            )
        elif not learnt[label]:
            problems.append(
                Problem(
                    fact=f"class {label!r} has {quantity(counts[label], 'image')}, none in train",
                    fix="move some of them to train, or remove the class",
                )
            )
    if len(labels) == 1:
        problems.append(
            Problem(
                fact=f"{where} has the single class {labels[0]!r}; nothing can be told apart",
                fix="add images of a second class",
            )
        )
    if problems:
        raise SearchError(capped(problems), Exit.DATA)
