"""What a folder of images is like: sizes, classes, damage, copies. ``search init`` asks.

Every file is opened once, in parallel, and remembered as checked, so that a run need
not open it again. Copies are files of the same content; near copies show nearly the
same (``likeness.py``).
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.data.decode import INTERPOLATIONS, BadImage, hash_and_decode
from search.data.likeness import HASH_SIZE, THUMBNAIL_SIDE, difference_hash, near_copies
from search.data.listing import Found, Listing
from search.data.parallel import Progress, each
from search.data.prepare import remember_good


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What opening one image told."""

    sha256: str = ""
    """Of its bytes; empty when it is bad."""
    reason: str = ""
    """Why it is bad; empty when it is good."""
    width: int = 0
    """Pixels, upright."""
    height: int = 0
    hash: int = 0
    thumbnail: bytes = b""
    grey: bool = False
    """Whether a small copy of it has no colour."""
    bytes: int = 0
    changed: int = 0
    """When the file was changed, ns, before it was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Images that are copies of each other, the same or nearly."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    """Theirs, each once, sorted."""
    parts: tuple[str, ...]
    """Those that the data puts them in, each once, sorted; empty where it brings none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All that was found."""

    listing: Listing
    good: tuple[Found, ...]
    looks: Mapping[str, Look]
    """Of the good ones, by path."""
    bad: tuple[tuple[str, str], ...]
    """(path, reason), sorted."""
    copies: tuple[Together, ...]
    near: tuple[Together, ...]
    """Of images that are not all the same file; copies of one of them are in it too."""
    compared: bool
    """False when there were too many images that look alike to compare them all."""


def survey(
    listing: Listing, *, cache: Path, progress: Progress, workers: int | None = None
) -> Survey:
    """Open every image of a listing once.

    Args:
        listing: What the data names.
        cache: Our cache folder; what was found right is remembered below it.
        progress: Told (what, done, total) for every few files.
        workers: Processes that open files; None is one for each core.
    """
    images = listing.images
    looks: dict[str, Look] = {}
    files = [str(listing.root / image.path) for image in images]
    progress("checking images", 0, len(files))
    for index, look in each(look_at, files, crashed=_crashed, workers=workers):
        looks[images[index].path] = look
        progress("checking images", len(looks), len(files))
    good = tuple(image for image in images if not looks[image.path].reason)
    remember_good(
        listing.root,
        {
            image.path: (look.bytes, look.changed, look.sha256)
            for image in good
            if (look := looks[image.path])
        },
        cache=cache,
    )
    bad = [(path, look.reason) for path, look in looks.items() if look.reason]
    copies: defaultdict[str, list[Found]] = defaultdict(list)
    for image in good:
        copies[looks[image.path].sha256].append(image)
    near, compared = _near(copies, looks, progress)
    return Survey(
        listing=listing,
        good=good,
        looks={image.path: looks[image.path] for image in good},
        bad=tuple(sorted([*listing.refused, *bad])),
        copies=tuple(_together(group) for group in copies.values() if len(group) > 1),
        near=near,
        compared=compared,
    )


def look_at(path: str) -> Look:
    """Decode one file whole; runs in a child process."""
    try:
        facts = os.stat(path)
        sha256, image = hash_and_decode(Path(path))
    except OSError as error:
        return Look(reason=(error.strerror or str(error)).lower())
    except BadImage as error:
        return Look(reason=error.reason)
    bilinear = INTERPOLATIONS["bilinear"]
    small = image.resize((2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE), bilinear, reducing_gap=2.0)
    grey = small.convert("L")
    thumbnail = grey.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), bilinear)
    colours = np.asarray(small, dtype=np.int16)
    return Look(
        sha256=sha256,
        width=image.width,
        height=image.height,
        hash=difference_hash(np.asarray(grey.resize(HASH_SIZE, bilinear))),
        thumbnail=thumbnail.tobytes(),
        bytes=facts.st_size,
        changed=facts.st_mtime_ns,
        grey=bool((colours.max(axis=2) - colours.min(axis=2)).max() <= 8),
    )


def _crashed(path: str) -> Look:
    return Look(reason="ended the process that opened it")


def _near(
    copies: Mapping[str, Sequence[Found]], looks: Mapping[str, Look], progress: Progress
) -> tuple[tuple[Together, ...], bool]:
    """Groups of images that show nearly the same; of equal files the first stands for all."""
    progress("comparing images", 0, 0)
    contents = list(copies.values())
    firsts = [looks[group[0].path] for group in contents]
    pixels = THUMBNAIL_SIDE * THUMBNAIL_SIDE
    thumbs = np.frombuffer(b"".join(look.thumbnail for look in firsts), dtype=np.uint8)
    alike = near_copies(
        np.array([look.hash for look in firsts], dtype=np.uint64), thumbs.reshape(-1, pixels)
    )
    found = (
        _together([image for index in group for image in contents[index]]) for group in alike.groups
    )
    return tuple(sorted(found, key=lambda group: group.paths)), alike.whole


def _together(images: Sequence[Found]) -> Together:
    return Together(
        paths=tuple(sorted(image.path for image in images)),
        labels=tuple(sorted({image.label for image in images})),
        parts=tuple(sorted({image.part for image in images if image.part})),
    )


def short_sides(looks: Mapping[str, Look]) -> tuple[int, int, int]:
    """Smallest, median and largest shorter side, pixels; zeros without an image."""
    sides = sorted(min(look.width, look.height) for look in looks.values())
    return (sides[0], sides[len(sides) // 2], sides[-1]) if sides else (0, 0, 0)


def class_counts(images: Sequence[Found]) -> Counter[str]:
    """Images of each class; of several classes an image counts in each."""
    return Counter(name for image in images for name in image.strata)
