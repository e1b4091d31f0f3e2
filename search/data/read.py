"""From what a space file says about its data to the list of its images."""

from __future__ import annotations

import os
from pathlib import Path

from search.data.csv_manifest import list_manifest
from search.data.folder import list_folder
from search.data.listing import Listing
from search.data.parallel import Progress
from search.data.sample import list_sample
from search.space.spec import DataSpec
from search.space.urls import is_url


def find_images(
    spec: DataSpec,
    *,
    base: Path,
    cache: Path,
    progress: Progress = lambda _what, _done, _total: None,
) -> Listing:
    """List the images that ``spec`` names; none is opened. Those at a URL are copied
    into the cache first.

    Args:
        spec: With exactly one of path, manifest and sample.
        base: Where relative paths start: the current folder.
        cache: Our cache folder.
        progress: Told of what is copied.

    Raises:
        SearchError: Exit.DATA if the data cannot be used; Exit.MISSING if a
            sample's package is not installed.
        ValueError: If not exactly one of path, manifest and sample is set, or path
            with a task that a folder has no labels for.
    """
    given = [name for name in (spec.path, spec.manifest, spec.sample) if name is not None]
    if len(given) != 1:
        raise ValueError(f"need one of path, manifest and sample, got {given}")
    if spec.path is not None and spec.task != "multiclass":
        raise ValueError(f"a folder is for the task multiclass, got {spec.task=}")
    if spec.path is not None and is_url(spec.path):
        from search.data.remote import fetch_folder

        return list_folder(fetch_folder(spec.path, cache=cache, progress=progress))
    if spec.path is not None:
        return list_folder(absolute(spec.path, base))
    if spec.manifest is not None:
        return list_manifest(absolute(spec.manifest, base), name=spec.manifest, task=spec.task)
    assert spec.sample is not None
    return list_sample(spec.sample, task=spec.task)


def absolute(path: str, base: Path) -> Path:
    """A user's path: ``~`` is the home folder, a relative one starts at ``base``."""
    return Path(os.path.abspath(base / os.path.expanduser(path)))
