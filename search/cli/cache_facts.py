"""What is in a cache folder, found without opening an entry.

Only the folders that we write are looked into, so that a folder which is not a
cache is neither walked nor emptied.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.backbones.availability import digest_file
from search.data.cache import FOLDERS, CacheEntry, Cleared, why_it_stays
from search.data.folder import SUFFIXES
from search.data.place import FETCHED
from search.problems import Exit, SearchError, fail

_OTHERS = ("tables", "checked", "nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Some entries together."""

    entries: int = 0
    bytes: int = 0
    """Of the entries and of what belongs to them: headers, locks, unfinished files."""
    used: float | None = None
    """When one of them was last used, seconds since 1970; None where there is none."""

    def __add__(self, other: Kept) -> Kept:
        """Both together."""
        known = [used for used in (self.used, other.used) if used is not None]
        return Kept(
            entries=self.entries + other.entries,
            bytes=self.bytes + other.bytes,
            used=max(known, default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FamilyName:
    """What activations are of, as far as a person tells them apart."""

    backbone: str = ""
    """Empty where it is not known."""
    image_size: int = 0
    precision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A cache folder."""

    folder: Path
    exists: bool
    decoded: Kept = Kept()
    families: tuple[tuple[FamilyName, Kept], ...] = ()
    """Activations, the largest first."""
    weights: Kept = Kept()
    images: Kept = Kept()
    """Copied from URLs."""
    others: Kept = Kept()
    free: int
    """Bytes on its disk."""

    @property
    def activations(self) -> Kept:
        """All families together."""
        return sum((kept for _, kept in self.families), Kept())

    @property
    def total(self) -> Kept:
        """Everything."""
        return self.decoded + self.activations + self.weights + self.images + self.others


def look(folder: Path) -> Contents:
    """Look into a cache folder; one that is not there is empty.

    Raises:
        SearchError: Exit.STORAGE, if it is no folder or cannot be read.
    """
    try:
        mode = folder.stat().st_mode
        if not stat.S_ISDIR(mode):
            raise fail(f"{folder} is not a folder", fix="--dir DIR", status=Exit.STORAGE)
        os.listdir(folder)
    except FileNotFoundError:
        return Contents(folder=folder, exists=False, free=free_bytes(folder))
    except OSError as error:
        raise _unreadable(folder, error) from error
    try:
        families: dict[FamilyName, Kept] = {}
        for path in _folders(folder / FOLDERS["activations"]):
            name = _family(path / "family.json")
            families[name] = families.get(name, Kept()) + _kept(path, ".rows")
        known = _weight_names()
        return Contents(
            folder=folder,
            exists=True,
            decoded=_kept(folder / FOLDERS["decoded"], ".u8"),
            families=tuple(sorted(families.items(), key=lambda each: (-each[1].bytes, each[0]))),
            weights=sum(
                (_one(path, facts) for path, facts in _weights(folder, known)), start=Kept()
            ),
            images=_kept(folder / FETCHED, tuple(SUFFIXES)),
            others=sum((_kept(folder / name, "") for name in _OTHERS), start=Kept()),
            free=free_bytes(folder),
        )
    except OSError as error:
        raise _unreadable(Path(error.filename or folder), error) from error


def clear_weights(folder: Path, *, before: float, dry_run: bool) -> Cleared:
    """Remove fetched weights that were last used before a time, unless they are held.

    Only files that a fetch would bring back; another file in that folder stays.
    """
    gone: list[CacheEntry] = []
    stayed: list[tuple[CacheEntry, str]] = []
    for path, facts in sorted(_weights(folder, _weight_names())):
        entry = CacheEntry(path=path, kind="weights", bytes=facts.st_size, used=_used(facts))
        if entry.used < before:
            why = why_it_stays(entry, keep=dry_run)
            if why:
                stayed.append((entry, why))
            else:
                gone.append(entry)
                if not dry_run:
                    digest_file(path).unlink(missing_ok=True)
    return Cleared(gone=tuple(gone), stayed=tuple(stayed))


def free_bytes(folder: Path) -> int:
    """Free on the disk of a folder, which need not exist yet."""
    import shutil

    existing = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    return shutil.disk_usage(existing).free


def _unreadable(place: Path, error: OSError) -> SearchError:
    reason = (error.strerror or str(error)).lower()
    return fail(f"{place} cannot be read: {reason}", fix="--dir DIR", status=Exit.STORAGE)


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(each.path) for each in os.scandir(folder) if each.is_dir()]
    except FileNotFoundError:
        return []


def _kept(folder: Path, suffix: str | tuple[str, ...]) -> Kept:
    """All files below a folder; those with a suffix are the entries."""
    found = Kept()
    for path, facts in _files(folder):
        if path.name.lower().endswith(suffix):
            found += _one(path, facts)
        else:
            found += Kept(bytes=facts.st_size)
    return found


def _one(path: Path, facts: os.stat_result) -> Kept:
    return Kept(entries=1, bytes=facts.st_size, used=_used(facts))


def _used(facts: os.stat_result) -> float:
    return max(facts.st_atime, facts.st_mtime)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # it went while we looked
            raise error

    for root, _, names in os.walk(folder, onerror=failed):
        for name in names:
            with suppress(FileNotFoundError):
                path = Path(root, name)
                yield path, path.lstat()


def _weights(folder: Path, known: frozenset[str]) -> Iterator[tuple[Path, os.stat_result]]:
    from search.backbones.availability import weights_folder

    for path, facts in _files(weights_folder(folder)):
        if path.name in known:
            yield path, facts


def _weight_names() -> frozenset[str]:
    from search.backbones.availability import file_name
    from search.backbones.catalogue import CATALOGUE
    from search.backbones.timm_names import timm_names

    ours = {
        file_name(info.with_weights(tag))
        for info in CATALOGUE.values()
        if info.url
        for tag in info.tags
    }
    return frozenset(ours | {file_name(CATALOGUE[name]) for name in timm_names()})


def _family(about: Path) -> FamilyName:
    try:
        facts = json.loads(about.read_bytes())
        return FamilyName(
            backbone=str(facts["backbone"]),
            image_size=int(facts["image_size"]),
            precision=str(facts["precision"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return FamilyName()
