"""Data that cannot be used, found in a moment: before Ray and torch are started.

Looks at what is there, reads a manifest and opens no image; ``search.data.prepare`` checks all of
it. What is refused here would be refused there too, with the same status.
"""

from __future__ import annotations

import os
from pathlib import Path

from search.problems import Exit, SearchError, fail
from search.space.spec import DataSpec
from search.space.urls import is_url, shown

LONGEST = 1_000_000
"""Bytes of a manifest that is read before anything is started: some 30,000 lines, which take
a second or two."""
_GIVE = "--data FOLDER (a folder per class) or --data FILE.csv"


def data_place(data: DataSpec) -> str:
    """Where the data are: the name of a sample, or an absolute path."""
    if data.path is not None and is_url(data.path):
        return shown(data.path)
    return data.sample if data.sample is not None else str(_path(data))


def check_data(data: DataSpec) -> None:
    """Refuse data that are not there, or are of another kind than they should be.

    Raises:
        SearchError: Exit.DATA; Exit.MISSING for a sample whose package is not
            installed.
    """
    if data.sample is not None:
        from search.data.sample import list_sample

        list_sample(data.sample)
    elif data.path is not None and is_url(data.path):
        from search.data.remote import check_protocol

        check_protocol(data.path)  # what is there is looked at by the run
    elif data.path is not None:
        _check_folder(_path(data))
    else:
        _check_manifest(_path(data))


def check_labels(data: DataSpec) -> None:
    """Refuse a manifest's lines that the run would refuse, and labels of another task.

    One that is too long to be read in a moment is left to the run.

    Raises:
        SearchError: Exit.DATA.
    """
    if data.manifest is None or _path(data).stat().st_size > LONGEST:
        return
    from search.data.csv_manifest import list_manifest
    from search.data.enough import check_enough

    listing = list_manifest(_path(data), name=data.manifest, task=data.task)
    check_enough(listing.images, listing.classes, where=data.manifest, task=data.task)


def why_refused(data: DataSpec) -> SearchError | None:
    """What :func:`check_data` and :func:`check_labels` would raise; None where neither would."""
    try:
        check_data(data)
        check_labels(data)
    except SearchError as error:
        return error
    return None


def _check_folder(folder: Path) -> None:
    if not _exists(folder):
        raise _refused(f"data.path: {folder} does not exist", _GIVE)
    if not folder.is_dir():
        raise _refused(f"data.path: {folder} is a file, not a folder", _GIVE)
    try:
        with os.scandir(folder) as entries:
            holds_folders = any(
                entry.is_dir() for entry in entries if not entry.name.startswith(".")
            )
    except OSError as error:
        raise _unreadable("path", folder, error, f"chmod -R u+rX {folder}") from None
    if not holds_folders:
        raise _refused(
            f"data.path: {folder} holds no class folders", f"{folder}/<class>/<image>.jpg"
        )


def _check_manifest(file: Path) -> None:
    if not _exists(file):
        raise _refused(f"data.manifest: {file} does not exist", _GIVE)
    if file.is_dir():
        raise _refused(f"data.manifest: {file} is a folder, not a file", f"--data {file}")
    try:
        with file.open("rb") as opened:
            empty = not opened.read(1)
    except OSError as error:
        raise _unreadable("manifest", file, error, f"chmod u+r {file}") from None
    if empty:
        raise _refused(
            f"data.manifest: {file} is empty", "a first line path,label and a line for each image"
        )


def _path(data: DataSpec) -> Path:
    given = data.path if data.path is not None else data.manifest
    assert given is not None
    return Path(os.path.expanduser(given)).absolute()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, or a folder above that is closed to us
        return False


def _unreadable(kind: str, path: Path, error: OSError, fix: str) -> SearchError:
    why = (error.strerror or str(error)).lower()
    return _refused(f"data.{kind}: {path} cannot be read: {why}", fix)


def _refused(fact: str, fix: str) -> SearchError:
    return fail(fact, fix=fix, status=Exit.DATA)
