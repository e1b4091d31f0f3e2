"""The cache folder as a whole: what is in it, how large, in use or not; a byte budget.

Two kinds of entry can be made again and are evicted, least recently used first:
decoded images (``store.py``) and activations (``training/segments.py``). A process
that reads or writes an entry holds a shared or exclusive ``flock`` on its file,
which ends with the process, however it dies; what is held stays. Weights and
tables are small or dear, and only ever removed when asked for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

Kind: TypeAlias = Literal["decoded", "activations"]
KINDS: tuple[Kind, ...] = ("decoded", "activations")

FOLDERS: dict[Kind, str] = {"decoded": "decoded", "activations": "activations"}
_PATTERNS: dict[Kind, str] = {"decoded": "*.u8", "activations": "*/*/*.rows"}
_DRIFT = 0.02
"""Share of the budget that a process may write before it looks at the disk again."""
_KEEP_FREE = 512 * 2**20
"""Bytes that the cache leaves free on its disk, whatever its budget."""
GIGABYTE = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A file that can be made again."""

    path: Path
    kind: Kind
    bytes: int
    used: float
    """When it was last opened, seconds since 1970."""


def hold(path: Path) -> BinaryIO:
    """Open an entry to read it; it is not evicted until the file is closed.

    Marks it as just used. The modification time stays, so that who has verified
    the content need not do so again.

    Raises:
        OSError: If it is not there or cannot be read.
    """
    file = path.open("rb")
    try:
        with suppress(OSError):  # a file system without locks: eviction then only knows the age
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
    except BaseException:
        file.close()
        raise
    return file


def entries(cache: Path) -> list[CacheEntry]:
    """Everything that can be evicted, least recently used first."""
    found = [
        CacheEntry(path=path, kind=kind, bytes=facts.st_size, used=facts.st_atime)
        for kind in KINDS
        for path, facts in _files(cache, kind, _PATTERNS[kind])
    ]
    return sorted(found, key=lambda entry: (entry.used, str(entry.path)))


def remove(entry: CacheEntry) -> bool:
    """Remove an entry unless a process holds it; whether it is gone."""
    with suppress(FileNotFoundError), entry.path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # A header without its content is no entry: it goes first.
        entry.path.with_suffix(".json").unlink(missing_ok=True)
        entry.path.unlink(missing_ok=True)
    return True


def drop_leftovers(cache: Path) -> None:
    """Remove what killed processes left unfinished: temporary files that nobody holds."""
    for path, _ in _files(cache, "activations", "*/*/*.tmp"):
        remove(CacheEntry(path=path, kind="activations", bytes=0, used=0.0))


def default_budget(cache: Path) -> int:
    """Bytes that the cache may take where nothing is said: what it has already
    and half of what its disk has free."""
    return sum(entry.bytes for entry in entries(cache)) + _free(cache) // 2


class Room:
    """The byte budget of a cache folder, as one process keeps to it.

    Looks at the disk now and then; what this process writes in between is
    counted, what others write is seen at the next look. Several processes
    together may therefore pass the budget by a few hundredths, never for long.

    Args:
        cache: The folder.
        budget: Bytes; 0 leaves no room at all.
    """

    def __init__(self, cache: Path, budget: int) -> None:
        self._cache = cache
        self.budget = budget
        self._used = 0
        self._unseen: int | None = None

    def make(self, need: int) -> bool:
        """Whether ``need`` more bytes may be written; evicts what is unused for them."""
        if need > self.budget:
            return False
        known = self._used + (self._unseen or 0)
        stale = self._unseen is None or self._unseen > _DRIFT * self.budget
        if stale or known + need > 0.8 * self.budget:
            if not self._look(need):
                return False
        elif _free(self._cache) < need + _KEEP_FREE:
            return False
        self._unseen = (self._unseen or 0) + need
        return True

    def _look(self, need: int) -> bool:
        drop_leftovers(self._cache)
        found = entries(self._cache)
        used = sum(entry.bytes for entry in found) + _growing(self._cache)
        free = _free(self._cache) - _KEEP_FREE
        for entry in found:
            if used + need <= self.budget and free >= need:
                break
            if remove(entry):
                used -= entry.bytes
                free += entry.bytes
        self._used, self._unseen = used, 0
        return used + need <= self.budget and free >= need


def clear(cache: Path, kinds: Iterable[Kind], *, before: float) -> tuple[int, int, int]:
    """Remove entries that were last used before a time.

    Args:
        cache: The folder.
        kinds: Of the entries.
        before: Seconds since 1970.

    Returns:
        Entries removed, bytes removed, entries that stayed because they are in use.
    """
    gone = size = held = 0
    wanted = set(kinds)
    for entry in entries(cache):
        if entry.kind in wanted and entry.used < before:
            if remove(entry):
                gone, size = gone + 1, size + entry.bytes
            else:
                held += 1
    if "activations" in wanted:
        drop_leftovers(cache)
        _drop_empty(cache / FOLDERS["activations"])
    return gone, size, held


def _drop_empty(folder: Path) -> None:
    """Remove the folders of activations that hold nothing but what describes them."""
    for family in (path for path in folder.glob("*") if path.is_dir()):
        for view in (path for path in family.glob("*") if path.is_dir()):
            with suppress(OSError):
                view.rmdir()
        if not any(path.is_dir() for path in family.glob("*")):
            shutil.rmtree(family, ignore_errors=True)


def _growing(cache: Path) -> int:
    return sum(facts.st_size for _, facts in _files(cache, "activations", "*/*/*.tmp"))


def _files(cache: Path, kind: Kind, pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
    for path in (cache / FOLDERS[kind]).glob(pattern):
        with suppress(OSError):  # it went while we looked
            yield path, path.stat()


def _free(cache: Path) -> int:
    folder = cache
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
