"""From a DataSpec to the table of a study: every image opened once, parts fixed.

Files are decoded whole, in parallel, and what was found right is remembered by
path, size and time of change, so that the next run opens only what changed.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from search.data.decode import DECODE_VERSION, BadImage, hash_and_decode
from search.data.enough import FEWEST, check_enough
from search.data.files import write_whole
from search.data.images import PARTS, ImageRow, ImageTable, Part, Target
from search.data.listing import Found, Listing, capped, quantity
from search.data.manifest import fingerprint
from search.data.parallel import Progress, each
from search.data.read import find_images
from search.data.split import assign_parts, take_subset
from search.problems import Exit, Problem, SearchError, fail
from search.space.spec import DataSpec, Task
from search.space.urls import is_url, shown

_SAVE_EVERY = 30.0
"""Seconds of checking that a kill may cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The images of a study, ready to be decoded."""

    table: ImageTable
    skipped: tuple[tuple[str, str], ...]
    """(path relative to the root, reason) of unreadable images that were left out."""
    notes: tuple[str, ...]
    """What the user should know, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What opening one file told."""

    sha256: str = ""
    """Of its bytes; empty when it is bad."""
    reason: str = ""
    """Why it is bad; empty when it is good."""


def prepare(
    spec: DataSpec, *, base: Path, cache: Path, progress: Progress, workers: int | None = None
) -> Prepared:
    """Find, check and split the images of a study.

    The same files, spec and seed give the same table on every machine.

    Args:
        spec: Where the images are, the split, the subset.
        base: Where relative paths start: the current folder.
        cache: Our cache folder; what was checked is remembered below it.
        progress: Told (what, done, total) at least for every few files.
        workers: Processes that open files; None is one for each core.

    Raises:
        SearchError: Exit.DATA if the layout, a class or too many files are
            bad; Exit.MISSING if a sample's package is not installed.
    """
    progress("finding images", 0, 0)
    listing = find_images(spec, base=base, cache=cache, progress=progress)
    where = str(listing.root) if spec.manifest is None else spec.manifest
    if spec.path is not None and is_url(spec.path):
        where = shown(spec.path)
    check_enough(listing.images, listing.classes, where=where, task=spec.task)
    images = _subset(listing, spec)
    checked = check_files(
        listing.root,
        [image.path for image in images],
        cache=cache,
        progress=progress,
        workers=workers,
    )
    skipped = tuple(
        sorted(
            [
                *listing.refused,
                *((path, result.reason) for path, result in checked.items() if result.reason),
            ]
        )
    )
    if len(skipped) > spec.max_bad:
        raise _too_many(skipped, len(images) + len(listing.refused), spec.max_bad)
    good = [image for image in images if not checked[image.path].reason]
    bad = Counter(name for image in images if checked[image.path].reason for name in image.strata)
    check_enough(good, listing.classes, where=where, task=spec.task, bad=bad)
    placed = assign_parts(good, spec.split, same=lambda image: checked[image.path].sha256)
    table = _table(listing, placed, checked, spec)
    for part, count in table.counts().items():
        if not count:
            raise _empty(part, good, checked, where)
    if spec.task == "regression":  # one value may have gone to train alone
        check_enough(placed, (), where=where, task=spec.task)
    return Prepared(table=table, skipped=skipped, notes=(*listing.notes, *_notes(table)))


def check_files(
    root: Path,
    paths: Sequence[str],
    *,
    cache: Path,
    progress: Progress,
    workers: int | None = None,
) -> dict[str, Checked]:
    """Open and decode every file, or remember that it was done.

    Args:
        root: Absolute; ``paths`` are relative to it.

    Returns:
        By path.
    """
    memory = _memory(root, cache)
    known = _recall(memory)
    results: dict[str, Checked] = {}
    todo: list[str] = []
    seen: dict[str, tuple[int, int]] = {}
    for path in paths:
        with suppress(OSError):  # a file that is gone is found bad when it is opened
            facts = (root / path).stat()
            seen[path] = (facts.st_size, facts.st_mtime_ns)
        row = known.get(path)
        if row is not None and row[:2] == seen.get(path):
            results[path] = Checked(sha256=row[2])
        else:
            todo.append(path)
    what, total = "checking images", len(paths)
    progress(what, len(results), total)
    saved = time.monotonic()
    try:
        for index, result in each(
            check_file, [str(root / path) for path in todo], crashed=_crashed, workers=workers
        ):
            path = todo[index]
            results[path] = result
            # bad files are not remembered: a chmod changes neither size nor time
            if result.sha256 and path in seen:
                known[path] = (*seen[path], result.sha256)
            progress(what, len(results), total)
            if time.monotonic() - saved > _SAVE_EVERY:
                _remember(memory, known)
                saved = time.monotonic()
    finally:
        if todo:
            _remember(memory, known)
    return results


def remember_good(root: Path, known: Mapping[str, tuple[int, int, str]], *, cache: Path) -> None:
    """Spare :func:`check_files` the files that another pass has opened whole.

    Args:
        known: (size, time of change in ns, both from before it was opened, sha256) by path
            relative to ``root``.
    """
    memory = _memory(root, cache)
    _remember(memory, {**_recall(memory), **known})


def _memory(root: Path, cache: Path) -> Path:
    return cache / "checked" / f"{sha256(str(root).encode()).hexdigest()[:32]}.json"


def check_file(path: str) -> Checked:
    """Decode one file whole; runs in a child process."""
    try:
        return Checked(sha256=hash_and_decode(Path(path))[0])
    except BadImage as error:
        return Checked(reason=error.reason)


def _crashed(path: str) -> Checked:
    return Checked(reason="ended the process that opened it")


def _recall(memory: Path) -> dict[str, tuple[int, int, str]]:
    """(size, mtime_ns, sha256) by path; empty when there is none or it is damaged."""
    try:
        content = json.loads(memory.read_bytes())
        if content["version"] != DECODE_VERSION:
            return {}
        return {
            str(path): (int(size), int(changed), str(digest))
            for path, (size, changed, digest) in content["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _remember(memory: Path, known: Mapping[str, tuple[int, int, str]]) -> None:
    content = {"version": DECODE_VERSION, "files": known}
    with suppress(OSError):  # a full disk costs the next run its memory, not this one its work
        write_whole(memory, json.dumps(content).encode())


def _empty(
    part: Part, good: Sequence[Found], checked: Mapping[str, Checked], where: str
) -> SearchError:
    grouped = any(image.group for image in good)
    what = "group" if grouped else "different image"
    count = len({image.group or checked[image.path].sha256 for image in good})
    together = "images of one group" if grouped else "images of the same content"
    return fail(
        f"{part} has no images: {where} has {quantity(count, what)}, and {together} stay together",
        fix=f"more {what}s, or a split column that says which goes where",
        status=Exit.DATA,
    )


def _subset(listing: Listing, spec: DataSpec) -> tuple[Found, ...]:
    if spec.max_images is None or spec.max_images >= len(listing.images):
        return listing.images
    try:
        if spec.task == "regression" and spec.max_images < FEWEST:
            raise ValueError(f"{FEWEST} images are needed, {spec.max_images} are asked for")
        return take_subset(listing.images, spec.max_images, seed=spec.split.seed)
    except ValueError as error:
        raise fail(
            f"data.max_images is too few{_for_classes(listing)}: {error}",
            fix="max_images: null",
            status=Exit.DATA,
        ) from error


def _for_classes(listing: Listing) -> str:
    return f" for {len(listing.classes)} classes" if listing.classes else ""


def _too_many(skipped: Sequence[tuple[str, str]], total: int, max_bad: int) -> SearchError:
    problems = [Problem(fact=f"{path}: {reason}") for path, reason in skipped]
    summary = Problem(
        fact=f"{len(skipped):,} of {quantity(total, 'image')} cannot be used, "
        f"data.max_bad is {max_bad}",
        fix=f"replace or remove them, or leave them out with data.max_bad: {len(skipped)}",
        sums_up=True,
    )
    return SearchError([*capped(problems), summary], Exit.DATA)


def _table(
    listing: Listing, images: Sequence[Found], checked: Mapping[str, Checked], spec: DataSpec
) -> ImageTable:
    classes: tuple[str, ...] = ()
    if spec.task != "regression":
        classes = tuple(sorted({name for image in images for name in image.strata} - {""}))
    index = {label: at for at, label in enumerate(classes)}
    rows = []
    for image in images:
        assert image.part is not None
        rows.append(
            ImageRow(
                path=image.path,
                label=_target(image, index),
                part=image.part,
                sha256=checked[image.path].sha256,
                group=image.group,
            )
        )
    rows.sort(key=lambda row: row.path)
    return ImageTable(
        root=listing.root,
        classes=classes,
        rows=tuple(rows),
        fingerprint=fingerprint(rows, classes),
        licence=listing.licence,
        task=spec.task,
        unit=spec.unit,
    )


def _target(image: Found, index: Mapping[str, int]) -> Target:
    if image.value is not None:
        return image.value
    if image.labels is not None:
        return tuple(index[name] for name in image.labels)
    return index[image.label]


_CONTRADICTS: Mapping[Task, str] = {
    "multiclass": "in several classes",
    "multilabel": "in different classes",
    "regression": "and different values",
}


def _notes(table: ImageTable) -> Iterator[str]:
    """What is odd about a table: copies where they mislead, classes that a part lacks."""
    copies: defaultdict[str, list[ImageRow]] = defaultdict(list)
    for row in table.rows:
        copies[row.sha256].append(row)
    several = [rows for rows in copies.values() if len(rows) > 1]
    straddling = [rows for rows in several if len({row.part for row in rows}) > 1]
    if straddling:
        first = " and ".join(row.path for row in straddling[0][:2])
        yield (
            f"{quantity(len(straddling), 'image')} with the same content in several parts "
            f"(e.g. {first}): figures on them flatter"
        )
    contradicting = [rows for rows in several if len({row.label for row in rows}) > 1]
    if contradicting:
        first = " and ".join(row.path for row in contradicting[0][:2])
        yield (
            f"{quantity(len(contradicting), 'image')} with the same content "
            f"{_CONTRADICTS[table.task]} (e.g. {first})"
        )
    present = {
        (row.part, label)
        for row in table.rows
        for label in (row.label if isinstance(row.label, tuple) else (row.label,))
    }
    for part in PARTS:
        lacking = [name for label, name in enumerate(table.classes) if (part, label) not in present]
        if lacking:
            more = f" and {len(lacking) - 5:,} more classes" if len(lacking) > 5 else ""
            yield f"{part} has no image of {', '.join(map(repr, lacking[:5]))}{more}"
