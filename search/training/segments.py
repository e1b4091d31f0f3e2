"""A segment: what one boundary puts out for some images of one view, as one file.

Raw rows, then a JSON header, a sha256 over both, the header's length and a magic
word. Written to a temporary file, synced and renamed, and never changed again.
What is read is compared with its hash, once per process; a file that is damaged
or not ours is no segment. Loading runs no code: the bytes are numbers.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import secrets
import struct
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from search.data.cache import hold_open

_MAGIC = b"SRCHROW1"
_TAIL = struct.Struct("<Q8s")
_TYPES = ("float16", "float32")
_COMPUTED = ("float32", "bfloat16", "float16")
_REMEMBERED = 50_000
_LONGEST_HEADER = 64 * 2**20
_KEY = 20
"""Bytes of a key in the header: 16 digits, quotes, comma, space."""
_HEADER = 512
"""Bytes of the rest of the header, the hash and the tail, at most."""

_verified: OrderedDict[Path, tuple[int, int, int]] = OrderedDict()
"""(size, mtime_ns, inode) of files whose hash this process has compared."""


class BadSegment(Exception):
    """A file that cannot be trusted; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowForm:
    """How a row is kept."""

    shape: tuple[int, ...]
    """Of one row, as it lies in the file."""
    dtype: str
    """Of the file: ``float16`` or ``float32``."""
    computed: str
    """Of the features: ``float32`` or ``bfloat16``."""
    channels_last: bool
    """Rows are [H, W, C] of what the model knows as [C, H, W]."""

    @property
    def bytes(self) -> int:
        """Of one row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """An open segment. Not to be pickled; it is not evicted while it lives."""

    keys: NDArray[np.uint64]
    """[N] words of the images' hashes."""
    rows: NDArray[Any]
    """[N, *form.shape], mapped: what keeps the file open and its lock held."""
    form: RowForm


def segment_bytes(count: int, form: RowForm) -> int:
    """What a segment of ``count`` rows takes on the disk, at most."""
    return count * (form.bytes + _KEY) + _HEADER


class SegmentWriter:
    """Writes a segment row by row; :meth:`publish` makes it appear, whole.

    Args:
        path: Where it will be; its folder exists.
        keys: [N] of the rows, in the order in which they will be appended.
        form: Of the rows.

    Raises:
        OSError: Here, in ``append`` and in ``publish``, if the disk does not take it.
    """

    def __init__(self, path: Path, keys: NDArray[np.uint64], form: RowForm) -> None:
        self._path = path
        self._header = json.dumps(
            {
                "shape": list(form.shape),
                "dtype": form.dtype,
                "computed": form.computed,
                "channels_last": form.channels_last,
                "keys": [f"{key:016x}" for key in keys.tolist()],
            }
        ).encode()
        self._left = len(keys) * form.bytes
        self._temporary, self._file = _growing(path)
        self._digest = hashlib.sha256()
        try:
            # Its whole size at once, so that others who look count what is still to come.
            self._file.truncate(segment_bytes(len(keys), form))
        except BaseException:
            self.abandon()
            raise

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows, in their form."""
        content = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
        self._left -= len(content)
        self._digest.update(content)
        self._file.write(content)

    def publish(self) -> None:
        """Sync and rename.

        Raises:
            ValueError: If not every row was appended.
        """
        if self._left:
            raise ValueError(f"{self._left} bytes of the segment are missing")
        self._digest.update(self._header)
        self._file.write(self._header + self._digest.digest())
        self._file.write(_TAIL.pack(len(self._header), _MAGIC))
        self._file.truncate()
        self._file.flush()
        os.fsync(self._file.fileno())
        facts = os.fstat(self._file.fileno())
        self._temporary.replace(self._path)
        self._file.close()
        _remember(self._path, facts)

    def abandon(self) -> None:
        """Leave nothing behind; harmless after :meth:`publish`."""
        if not self._file.closed:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            with suppress(OSError):
                self._file.close()


def _growing(path: Path) -> tuple[Path, BinaryIO]:
    """A temporary file beside ``path``, held, so that nobody takes it for a killed process's."""
    while True:
        # A name of its own also where process numbers repeat, as in containers.
        temporary = path.with_name(f"{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        file = temporary.open("xb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removed = not temporary.exists()
        except BlockingIOError:
            removed = True  # or is about to be
        except OSError:  # a file system without locks: nothing there is ever removed
            removed = False
        if not removed:
            return temporary, file
        file.close()


def open_segment(
    path: Path, wanted: Callable[[NDArray[np.uint64]], bool] = lambda _: True
) -> Segment | None:
    """Map a segment that is there.

    Args:
        path: Of the file.
        wanted: Told the keys, before the rows are read, held or marked as used.

    Returns:
        None where it is not wanted.

    Raises:
        BadSegment: If it is damaged or something else.
        OSError: If it cannot be read, or is gone.
    """
    with open(path, "rb", opener=_quietly) as file:
        return _open(path, file, os.fstat(file.fileno()), wanted)


def _quietly(path: str, flags: int) -> int:
    """Open without the time of the last use being changed, where the file is ours."""
    with suppress(PermissionError):
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    return os.open(path, flags)


def _open(
    path: Path,
    file: BinaryIO,
    facts: os.stat_result,
    wanted: Callable[[NDArray[np.uint64]], bool],
) -> Segment | None:
    size = facts.st_size
    if size < _TAIL.size + 32:
        raise BadSegment("it is cut short")
    file.seek(size - _TAIL.size)
    length, magic = _TAIL.unpack(file.read(_TAIL.size))
    start = size - _TAIL.size - 32 - length
    if magic != _MAGIC or start < 0 or length > _LONGEST_HEADER:
        raise BadSegment("it does not end as a segment does")
    file.seek(start)
    raw, expected = file.read(length), file.read(32)
    form, keys = _read_header(raw)
    if start != len(keys) * form.bytes or len(keys) == 0:
        raise BadSegment(f"{start} bytes are not {len(keys)} rows")
    if not wanted(keys):
        return None
    hold_open(file)
    rows = np.memmap(file, dtype=form.dtype, mode="r", shape=(len(keys), *form.shape))
    if _verified.get(path) != _state(facts):
        digest = hashlib.sha256(rows.reshape(-1).view(np.uint8).data)
        digest.update(raw)
        if digest.digest() != expected:
            raise BadSegment("its content does not match its hash")
        _remember(path, facts)
    return Segment(keys=keys, rows=rows, form=form)


def _read_header(raw: bytes) -> tuple[RowForm, NDArray[np.uint64]]:
    """Form and keys, if they are what a writer writes."""
    try:
        header = json.loads(raw)
        form = RowForm(
            shape=tuple(header["shape"]),
            dtype=header["dtype"],
            computed=header["computed"],
            channels_last=header["channels_last"],
        )
        keys = np.array([int(key, 16) for key in header["keys"]], dtype=np.uint64)
        plain = all(type(side) is int and side > 0 for side in form.shape)
        sides = (3,) if form.channels_last is True else (1, 2, 3)
        known = form.dtype in _TYPES and form.computed in _COMPUTED
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadSegment("its header cannot be read") from error
    if not (plain and known and len(form.shape) in sides and type(form.channels_last) is bool):
        raise BadSegment("its header makes no sense")
    return form, keys


def _state(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


def _remember(path: Path, facts: os.stat_result) -> None:
    _verified[path] = _state(facts)
    _verified.move_to_end(path)
    while len(_verified) > _REMEMBERED:
        _verified.popitem(last=False)
