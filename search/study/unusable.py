"""Why a SQLite file cannot be used, and what to type about it."""

from __future__ import annotations

import os
import shlex
import sqlite3
from pathlib import Path

from search.disk import MAKE_ROOM, disk_full, no_room

_ANOTHER = "--storage sqlite:///FILE.db of another file; it is made where there is none"


def check_file(path: Path) -> bool:
    """Whether there is a file to read.

    Raises:
        OSError: If something else is there, or it cannot be looked at.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    return path.is_file()


def why(path: Path, fault: BaseException) -> tuple[str, str] | None:
    """The fact about the file and the fix; None where the fault is of another kind.

    Args:
        path: Absolute.
        fault: What Python or SQLite said.
    """
    if _is_folder(path):
        return f"{path} is a folder, not a file", f"--storage sqlite:///{path}/studies.db"
    if isinstance(fault, PermissionError) or _is_closed(path, fault):
        name = shlex.quote(str(path))
        return f"{path} may not be read: permission denied", f"ls -l {name}, or another --storage"
    full = disk_full(fault, path)
    if full is not None:
        return str(full), MAKE_ROOM
    match _code(fault):
        case sqlite3.SQLITE_FULL:
            return no_room(path), MAKE_ROOM
        case sqlite3.SQLITE_NOTADB:
            return f"{path} is not a SQLite database", _ANOTHER
        case sqlite3.SQLITE_CORRUPT:
            name = shlex.quote(str(path))
            return (
                f"{path} is damaged: {fault}",
                f"a copy of it, or: sqlite3 {name} .recover | sqlite3 recovered.db",
            )
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a folder above it is closed to us
        return False


def _is_closed(path: Path, fault: BaseException) -> bool:
    """SQLite says of a file that may not be read no more than of one that is not there."""
    return (
        _code(fault) == sqlite3.SQLITE_CANTOPEN
        and os.path.exists(path)
        and not os.access(path, os.R_OK, effective_ids=True)
    )


def _code(fault: BaseException) -> int | None:
    """SQLite's primary result code."""
    code = getattr(fault, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
