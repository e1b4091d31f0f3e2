"""What ``search run`` looks after before it starts: room on the disk, its lock's
place, and no trace of a run that was refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.problems import Exit, fail
from search.space.spec import StudySpec

LEAST_FREE = 500 * 2**20
"""Bytes that must be free where the study and the cache are."""


def check_disk(place: Path) -> None:
    """Refuse to start where a run would end in a full disk."""
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        raise fail(
            f"{place}: {existing} cannot be written",
            fix="checkpoints: {dir: ...} and SEARCH_CACHE where you may write",
            status=Exit.STORAGE,
        )
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE:
        raise fail(
            f"{place}: {free / 2**20:.0f} MiB free on that disk, a run needs at least "
            f"{LEAST_FREE / 2**20:.0f}",
            fix="free some space, or checkpoints: {dir: ...} and SEARCH_CACHE on another disk",
            status=Exit.STORAGE,
        )


def lock_folder(spec: StudySpec, folder: Path) -> Path:
    """Where a study's lock is: beside its record, wherever its checkpoints are."""
    from search.study.storage import sqlite_file

    file = sqlite_file(spec.storage)
    if file is None:
        return folder
    name = spec.name if file.stem == "studies" else f"{file.stem}-{spec.name}"
    return file.parent / name


@contextmanager
def no_empty_folder(folder: Path) -> Iterator[None]:
    """A run that was refused leaves no folder of a study that never was."""
    try:
        yield
    finally:
        if folder.is_dir() and {each.name for each in folder.iterdir()} <= {"driver.lock"}:
            shutil.rmtree(folder, ignore_errors=True)
