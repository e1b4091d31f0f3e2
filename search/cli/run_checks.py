"""What ``search run`` looks after before it starts: room on the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from search.problems import Exit, fail

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
