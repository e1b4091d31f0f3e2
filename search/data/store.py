"""Every image of a table decoded once, as a file that all trials of a machine map.

uint8 [N, S, S, C] in the table's order, raw; beside it a JSON header. The key is
a hash of contents and geometry, never a name. An entry that is damaged or not
ours is decoded again, never trusted.
Legend: N images, S side in pixels, C = 3 channels (RGB).
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from search.data.cache import hold, relieve
from search.data.decode import DECODER, INTERPOLATIONS, BadImage, checked_square
from search.data.files import NoLocks, locked, publish, write_whole
from search.data.images import ImageTable, Part
from search.data.listing import changed_images
from search.data.parallel import Progress, each
from search.data.targets import Targets, targets_of
from search.problems import Exit, Problem, SearchError, fail

_FORMAT = 1
_SPARE = 64 * 2**20
"""Bytes that decoding leaves free on the disk."""

_verified: dict[Path, tuple[int, int]] = {}
"""(size, mtime_ns) of files whose content this process has compared with their header."""


class BadStore(Exception):
    """There is no decoded store, or it cannot be trusted; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImages:
    """The decoded images of a table. Not to be pickled: open it again instead."""

    images: np.memmap[tuple[int, int, int, int], np.dtype[np.uint8]]
    """[N, S, S, C], read-only, mapped; not evicted while it or a view of it lives."""
    labels: Targets
    """Of the N images."""
    hashes: tuple[str, ...]
    """sha256 of each image's file; N of them."""
    parts: tuple[Part, ...]
    """N of them."""
    path: Path
    """The file that is mapped."""

    def indices(self, part: Part) -> npt.NDArray[np.int64]:
        """Row numbers of one part, ascending."""
        return np.array([at for at, own in enumerate(self.parts) if own == part], dtype=np.int64)


def decoded_side(image_size: int) -> int:
    """Side of the stored squares in pixels for inputs of ``image_size``: 1.25 times, rounded."""
    return round(1.25 * image_size)


def decoded_path(table: ImageTable, *, side: int, interpolation: str, cache: Path) -> Path:
    """Where the decoded images of a table are, or would be."""
    return cache / "decoded" / f"{_key(table, side, interpolation)}.u8"


def decoded_bytes(table: ImageTable, *, side: int) -> int:
    """Size of the decoded images on disk."""
    return len(table.rows) * side * side * 3


def ensure_decoded(
    table: ImageTable,
    *,
    side: int,
    interpolation: str,
    cache: Path,
    progress: Progress,
    note: Callable[[str], None] | None = None,
    workers: int | None = None,
) -> DecodedImages:
    """Open the decoded images of a table; decode them first where they are not there.

    Safe to call from several processes at once: one decodes, the others wait.

    Args:
        side: Pixels, >= 1; see :func:`decoded_side`.
        interpolation: ``bilinear`` or ``bicubic``: the weights' own.
        cache: Our cache folder, on a local disk.
        progress: Told (what, done, total) at least for every few images.
        note: Told in one line when an entry was damaged and is decoded again.
        workers: Processes that decode; None is one for each core.

    Raises:
        SearchError: Exit.STORAGE, if the cache cannot be written or locked or, with path
            and free bytes, its disk is too full; Exit.DATA, if an image is no
            longer what the table says.
    """
    path = decoded_path(table, side=side, interpolation=interpolation, cache=cache)
    _check_folder(path.parent)
    what = f"decoding images to {side} px"
    try:
        with locked(
            path.with_suffix(".lock"),
            lambda: progress("waiting for another process that decodes images", 0, 0),
        ):
            try:
                return open_decoded(
                    table, side=side, interpolation=interpolation, cache=cache, verify=True
                )
            except BadStore as error:
                if path.exists() and note is not None:
                    note(f"decoded images {path} are decoded again: {error}")
            _drop(path)
            if not relieve(cache, decoded_bytes(table, side=side) + _SPARE):
                raise _full(path.parent, decoded_bytes(table, side=side))
            _build(table, side, interpolation, path, partial(progress, what), workers)
            # Still under the lock, so that it is not evicted before it is held.
            return open_decoded(table, side=side, interpolation=interpolation, cache=cache)
    except NoLocks as error:
        raise fail(
            f"the cache folder {path.parent} cannot be locked: {(error.strerror or '').lower()}",
            fix="SEARCH_CACHE=/a/folder/on/a/local/disk",
            status=Exit.STORAGE,
        ) from error


def open_decoded(
    table: ImageTable, *, side: int, interpolation: str, cache: Path, verify: bool = False
) -> DecodedImages:
    """Open decoded images that are there; milliseconds without ``verify``.

    Args:
        verify: Compare the whole content with the header's hash, once per process.

    Raises:
        BadStore: If there is none, or header, size or content are not right.
    """
    path = decoded_path(table, side=side, interpolation=interpolation, cache=cache)
    shape = (len(table.rows), side, side, 3)
    try:
        header = json.loads(path.with_suffix(".json").read_bytes())
        expected = _header(path.stem, shape, str(header["content"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadStore(f"no header that can be read ({error})") from error
    if header != expected:
        raise BadStore("its header is of something else")
    try:
        file = hold(path)
    except OSError as error:
        raise BadStore(f"it cannot be read ({error})") from error
    with file:
        facts = os.fstat(file.fileno())
        if facts.st_size != math.prod(shape):
            raise BadStore(f"it has {facts.st_size:,} bytes, not {math.prod(shape):,}")
        images = np.memmap(file, dtype=np.uint8, mode="r", shape=shape)
    state = (facts.st_size, facts.st_mtime_ns)
    if verify and _verified.get(path) != state:
        if _content([hashlib.sha256(image).digest() for image in images]) != header["content"]:
            raise BadStore("its content does not match its hash")
        _verified[path] = state
    return DecodedImages(
        images=images,
        labels=targets_of(table, table.rows),
        hashes=tuple(row.sha256 for row in table.rows),
        parts=tuple(row.part for row in table.rows),
        path=path,
    )


def _key(table: ImageTable, side: int, interpolation: str) -> str:
    if interpolation not in INTERPOLATIONS or side < 1:
        raise ValueError(f"cannot decode to {side=} with {interpolation=}")
    geometry = [_FORMAT, DECODER, side, interpolation]
    hashes = [row.sha256 for row in table.rows]
    return hashlib.sha256(json.dumps([geometry, hashes]).encode()).hexdigest()[:40]


def _header(key: str, shape: tuple[int, ...], content: str) -> dict[str, object]:
    return {"format": _FORMAT, "key": key, "shape": list(shape), "content": content}


def _content(digests: list[bytes]) -> str:
    """One hash over the hashes of all images, so that they can be taken in parallel."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _drop(path: Path) -> None:
    """Remove a bad entry and what a killed process left; the lock is held."""
    path.with_suffix(".json").unlink(missing_ok=True)
    for left in (path, *path.parent.glob(f"{path.stem}*.tmp")):
        left.unlink(missing_ok=True)
    _verified.pop(path, None)


def _check_folder(folder: Path) -> None:
    reason = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "permission denied"
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    if reason:
        raise fail(
            f"the cache folder {folder} cannot be written: {reason}",
            fix="SEARCH_CACHE=/a/folder/of/yours",
            status=Exit.STORAGE,
        )


def _full(folder: Path, needed: int) -> SearchError:
    free = shutil.disk_usage(folder).free
    return fail(
        f"decoded images need {needed:,} bytes in {folder}, {free:,} are free",
        fix="free some space, or SEARCH_CACHE=/a/larger/disk",
        status=Exit.STORAGE,
    )


def _build(
    table: ImageTable,
    side: int,
    interpolation: str,
    path: Path,
    progress: Callable[[int, int], None],
    workers: int | None,
) -> None:
    temporary = path.with_suffix(".u8.tmp")
    total = len(table.rows)
    digests = [b""] * total
    changed: list[Problem] = []
    decode = partial(_decode_row, target=str(temporary), side=side, interpolation=interpolation)
    jobs = [(at, str(table.absolute(row)), row.sha256) for at, row in enumerate(table.rows)]
    progress(0, total)
    try:
        with temporary.open("wb") as file:
            file.truncate(decoded_bytes(table, side=side))
        for done, (at, (digest, reason)) in enumerate(
            each(decode, jobs, crashed=_crashed, workers=workers), start=1
        ):
            digests[at] = digest
            if reason:
                changed.append(Problem(fact=f"{table.rows[at].path}: {reason}"))
            progress(done, total)
        if changed:
            raise changed_images(changed)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        header = _header(path.stem, (total, side, side, 3), _content(digests))
        publish(temporary, path)
        # the header last: images without one are decoded again
        write_whole(path.with_suffix(".json"), json.dumps(header).encode())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise _full(path.parent, decoded_bytes(table, side=side)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _decode_row(
    job: tuple[int, str, str], *, target: str, side: int, interpolation: str
) -> tuple[bytes, str]:
    """Decode one image into its place in the target; runs in a child process.

    Returns:
        The digest of its pixels and an empty reason, or nothing and a reason.
    """
    at, path, sha256 = job
    try:
        image = checked_square(Path(path), sha256, side=side, interpolation=interpolation)
    except BadImage as error:
        return b"", error.reason
    pixels = image.tobytes()
    place = at * len(pixels)
    file = os.open(target, os.O_WRONLY)
    try:
        left = memoryview(pixels)
        while left:
            written = os.pwrite(file, left, place)
            left, place = left[written:], place + written
    finally:
        os.close(file)
    return hashlib.sha256(pixels).digest(), ""


def _crashed(job: tuple[int, str, str]) -> tuple[bytes, str]:
    return b"", "ended the process that opened it"
