"""What a node of a cluster makes ready for itself, once for all of its workers.

Every node has its own cache folder: images at a URL are copied into it, weights are
found or fetched there, images are decoded there. The first process of a run does it
and leaves a note of where things are; the others read the note. No ray here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import search
from search.data.files import locked, write_whole
from search.data.images import ImageTable
from search.data.manifest import load_table
from search.data.parallel import Progress
from search.data.place import cache_folder
from search.problems import Exit, fail
from search.space.urls import is_url
from search.tuning.job import Abroad, PreparedBackbone, TrialJob

NOTES = "nodes"
"""Where in a node's cache folder it is noted what was made ready for a run."""
_KEPT_SECONDS = 7 * 86400.0
"""After which the notes of other runs are removed."""
_LATE = 10.0
"""Seconds in which a network file system shows what another machine wrote."""


def at_home(
    job: TrialJob,
    *,
    env: Mapping[str, str],
    progress: Progress = lambda _what, _done, _total: None,
    note: Callable[[str], None] = lambda _text: None,
) -> TrialJob:
    """The job with the paths of this machine; makes ready what is not.

    Args:
        job: As the driver made it; returned as it is where there is no cluster.
        env: Of this node: says where its cache folder is.
        progress: Told (what, done, total).
        note: Told what a person should know.

    Raises:
        SearchError: If images or weights are not to be had here, or are others.
    """
    abroad = job.abroad
    if abroad is None:
        return job
    cache = cache_folder(env, abroad.cache)
    file = cache / NOTES / f"{job.run}.json"
    _make(file.parent)
    waiting = "waiting for another process that makes this node ready"
    with locked(file.with_suffix(".lock"), lambda: progress(waiting, 0, 0)):
        places = _read(file)
        if places is None:
            places = _make_ready(job, abroad, cache, progress, note)
            write_whole(file, json.dumps([places.root, places.weights]).encode())
            _forget_others(file)
    return replace(
        job,
        cache=str(cache),
        root=places.root,
        backbones=tuple(
            replace(each, weights=places.weights.get(each.name)) for each in job.backbones
        ),
        abroad=None,
    )


def table_of(job: TrialJob) -> ImageTable:
    """The study's images, where they are on this machine."""
    table = load_table(Path(job.table))
    return table if job.root is None else replace(table, root=Path(job.root))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    root: str
    weights: dict[str, str | None]
    """Paths by backbone."""


def _make_ready(
    job: TrialJob, abroad: Abroad, cache: Path, progress: Progress, note: Callable[[str], None]
) -> _Places:
    from search.data.streamed import stored_or_streamed

    table = load_table(Path(job.table))
    table = replace(table, root=_root(abroad, table, cache, progress))
    weights = {each.name: _weights(each, abroad, cache, progress) for each in job.backbones}
    for form in abroad.forms:
        stored_or_streamed(
            table, form, streamed=job.streamed, cache=cache, progress=progress, note=note
        )
    return _Places(root=str(table.root), weights=weights)


def _root(abroad: Abroad, table: ImageTable, cache: Path, progress: Progress) -> Path:
    """Where the table's images are here."""
    data = abroad.data
    if data.path is not None and is_url(data.path):
        from search.data.remote import fetch_folder

        only = {row.path for row in table.rows}
        return fetch_folder(data.path, cache=cache, progress=progress, only=only)
    if data.sample is not None:
        from search.data.sample import list_sample

        return list_sample(data.sample).root
    missing = next((row for row in table.rows[:1] if not table.absolute(row).is_file()), None)
    if missing is not None:
        raise fail(
            f"{table.absolute(missing)} is not there",
            fix="data: {path: ...} of a folder that every node has mounted, or a URL",
            status=Exit.DATA,
        )
    return table.root


def _weights(
    wanted: PreparedBackbone, abroad: Abroad, cache: Path, progress: Progress
) -> str | None:
    """The path of a backbone's weights here; the same bytes as the driver's."""
    if wanted.weights is None:
        return None
    from search.backbones.download import fetch, weights_hash

    located = fetch(wanted.name, abroad.weights, cache, progress)
    if weights_hash(located) != wanted.sha256:
        raise fail(
            f"{wanted.name}: {located.path} holds other weights than those the study started with",
            fix="the same versions of the packages, and the same files, on every node",
            status=Exit.MISSING,
        )
    return str(located.path)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(
            f"the cache folder {folder.parent} cannot be written: "
            f"{(error.strerror or str(error)).lower()}",
            fix="SEARCH_CACHE=/a/folder/of/its/own/disk in the environment of ray start",
            status=Exit.STORAGE,
        ) from error


def _read(file: Path) -> _Places | None:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        root, weights = json.loads(file.read_bytes())
        places = _Places(root=str(root), weights=dict(weights))
        paths = [each for each in places.weights.values() if each is not None]
        if Path(places.root).is_dir() and all(Path(each).is_file() for each in paths):
            return places
    return None


def _forget_others(file: Path) -> None:
    for other in file.parent.iterdir():
        with suppress(OSError):
            if other.stem != file.stem and other.stat().st_mtime < time.time() - _KEPT_SECONDS:
                other.unlink()


# One shared folder ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a node says of the study's folder."""

    version: str
    """Of this package, there."""
    trouble: str = ""
    """Why the folder cannot be used; empty where it can."""


def leave_word(folder: Path, name: str, token: str) -> None:
    """Write a file that the other side looks for."""
    write_whole(folder / name, token.encode())


def finds_word(folder: Path, name: str, token: str, *, late: float = _LATE) -> bool:
    """Whether that file is there within seconds, and is of this run."""
    until = time.monotonic() + late
    while True:
        with suppress(OSError):
            if (folder / name).read_text(encoding="utf-8", errors="replace") == token:
                return True
        if time.monotonic() > until:
            return False
        with suppress(OSError):
            os.listdir(folder)  # makes a network file system look again
        time.sleep(0.2)


def visit(folder: Path, *, drivers: str, own: str, token: str, late: float = _LATE) -> Seen:
    """Look at the study's folder from a node: read the driver's word, leave our own.

    Args:
        folder: Where the driver left its word, in that of the study; never made here.
        drivers: Name of the driver's file.
        own: Name of ours.
        token: What both hold.
        late: Seconds in which the driver's may appear.
    """
    version, shown = search.__version__, folder.parent
    if not finds_word(folder, drivers, token, late=late):
        return Seen(version=version, trouble=f"does not see what this command writes to {shown}")
    try:
        leave_word(folder, own, token)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return Seen(version=version, trouble=f"cannot write to {shown}: {why}")
    return Seen(version=version)
