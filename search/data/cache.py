"""The cache folder as a whole: what is in it, how large, in use or not; a byte budget.

Two kinds of entry can be made again and are evicted, least recently used first:
decoded images (``store.py``) and activations (``training/segments.py``). A process
that reads or writes an entry holds a shared or exclusive ``flock`` on its file,
which ends with the process, however it dies; what is held stays, and so does what
a process that decodes holds by its ``.lock``. Weights and tables are small or dear,
and only ever removed when asked for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

Kind: TypeAlias = Literal["decoded", "activations", "weights"]
KINDS: tuple[Kind, ...] = ("decoded", "activations")
"""Of what is evicted."""

FOLDERS: dict[Kind, str] = {
    "decoded": "decoded",
    "activations": "activations",
    "weights": "weights",
}
_PATTERNS: dict[Kind, str] = {"decoded": "*.u8", "activations": "*/*/*.rows"}
_GROWING: dict[Kind, str] = {"decoded": "*.tmp", "activations": "*/*/*.tmp"}
_DRIFT = 0.02
"""Share of the budget that a process may write before it looks at the disk again."""
_KEEP_FREE = 512 * 2**20
"""Bytes that the cache leaves free on its disk, whatever its budget."""
GIGABYTE = 10**9
IN_USE = "in use by a running process"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A file that can be made, or fetched, again."""

    path: Path
    kind: Kind
    bytes: int
    used: float
    """When it was last opened, seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What :func:`clear` removed, or would remove, and what it left."""

    gone: tuple[CacheEntry, ...]
    stayed: tuple[tuple[CacheEntry, str], ...]
    """With why: ``IN_USE``, or what the system said."""


def hold(path: Path) -> BinaryIO:
    """Open an entry to read it; it is not evicted until the file is closed.

    Nor while it is mapped: a mapping keeps a duplicate of the file's descriptor,
    and a lock lasts until the last duplicate is closed. Marks the entry as just
    used. The modification time stays, so that who has verified the content need
    not do so again.

    Raises:
        OSError: If it is not there or cannot be read.
    """
    file = path.open("rb")
    try:
        hold_open(file)
    except BaseException:
        file.close()
        raise
    return file


def hold_open(file: BinaryIO) -> None:
    """:func:`hold` an entry that is open already."""
    with suppress(OSError):  # a file system without locks: nothing there is ever evicted
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with suppress(OSError):
        os.utime(file.fileno(), ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))


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
    return not why_it_stays(entry, keep=False)


def drop_leftovers(cache: Path) -> None:
    """Remove what killed processes left unfinished: temporary files that nobody holds."""
    for kind in KINDS:
        for path, _ in _files(cache, kind, _GROWING[kind]):
            remove(CacheEntry(path=path, kind=kind, bytes=0, used=0.0))


def relieve(cache: Path, need: int) -> bool:
    """Whether the cache's disk has ``need`` bytes free.

    Evicts activations for them, least recently used first, where there are
    enough; for what must be on the disk, whatever the cache's budget.
    """
    missing = need - _free(cache)
    if missing <= 0:
        return True
    drop_leftovers(cache)
    found = [entry for entry in entries(cache) if entry.kind == "activations"]
    if sum(entry.bytes for entry in found) < missing:
        return _free(cache) >= need
    for entry in found:
        if missing <= 0:
            break
        if remove(entry):
            missing -= entry.bytes
    return _free(cache) >= need


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


def clear(cache: Path, kinds: Iterable[Kind], *, before: float, dry_run: bool = False) -> Cleared:
    """Remove entries that were last used before a time.

    Args:
        cache: The folder.
        kinds: Of the entries.
        before: Seconds since 1970.
        dry_run: Only look what would be removed.
    """
    gone: list[CacheEntry] = []
    stayed: list[tuple[CacheEntry, str]] = []
    wanted = set(kinds)
    for entry in entries(cache):
        if entry.kind in wanted and entry.used < before:
            why = why_it_stays(entry, keep=dry_run)
            if why:
                stayed.append((entry, why))
            else:
                gone.append(entry)
    if not dry_run:
        drop_leftovers(cache)
        if "activations" in wanted:
            _drop_empty(cache / FOLDERS["activations"])
    return Cleared(gone=tuple(gone), stayed=tuple(stayed))


def why_it_stays(entry: CacheEntry, *, keep: bool) -> str:
    """Remove an entry unless ``keep``; why it cannot be removed, else nothing."""
    try:
        with ExitStack() as held:
            for path in _guards(entry):
                file = held.enter_context(path.open("rb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not keep:
                if entry.kind == "decoded":
                    # Images without their header are no entry: it goes first.
                    entry.path.with_suffix(".json").unlink(missing_ok=True)
                entry.path.unlink(missing_ok=True)
    except FileNotFoundError:
        return ""
    except BlockingIOError:
        return IN_USE
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def _guards(entry: CacheEntry) -> Iterator[Path]:
    """Files that whoever reads, writes or decodes the entry has locked."""
    if entry.kind == "decoded":
        lock = entry.path.with_name(f"{entry.path.name.partition('.')[0]}.lock")
        if lock.exists():
            yield lock
    yield entry.path


def _drop_empty(folder: Path) -> None:
    """Remove the folders of activations that hold nothing but what describes them."""
    for family in (path for path in folder.glob("*") if path.is_dir()):
        for view in (path for path in family.glob("*") if path.is_dir()):
            for claim in view.glob("*.claim"):  # of killed processes; a held one stays
                remove(CacheEntry(path=claim, kind="activations", bytes=0, used=0.0))
            with suppress(OSError):
                view.rmdir()
        if not any(path.is_dir() for path in family.glob("*")):
            # Not the whole tree: a process may just have begun a view in there.
            with suppress(OSError):
                for described in family.glob("family.json*"):
                    described.unlink(missing_ok=True)
                family.rmdir()


def _growing(cache: Path) -> int:
    return sum(facts.st_size for kind in KINDS for _, facts in _files(cache, kind, _GROWING[kind]))


def _files(cache: Path, kind: Kind, pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
    for path in (cache / FOLDERS[kind]).glob(pattern):
        with suppress(OSError):  # it went while we looked
            yield path, path.stat()


def _free(cache: Path) -> int:
    folder = cache
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
