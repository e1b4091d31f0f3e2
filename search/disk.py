"""A disk that is full: how it is known, and what is said of it. A leaf."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

MAKE_ROOM = "free some space there, then run the same command again"
"""What to do about it."""
_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(OSError):
    """No room where something was to be written; the text has the path and what is free."""


def disk_full(error: BaseException, path: Path | str | None = None) -> DiskFull | None:
    """The same error with its path and the free bytes; None for any other error.

    Args:
        error: What Python said, or a library that gives ``(os error 28)`` in its text.
        path: What was to be written; else what the error names.
    """
    if isinstance(error, DiskFull):
        return error
    code = error.errno if isinstance(error, OSError) else None
    if code is None and (found := re.search(r"\(os error (\d+)\)", str(error))) is not None:
        code = int(found[1])
    if code not in _CODES:
        return None
    path = path or getattr(error, "filename", None)
    full = DiskFull(no_room(None if path is None else Path(path)))
    full.errno = code
    return full


def no_room(path: Path | None) -> str:
    """A statement with the path and the bytes that are free on its disk."""
    if path is None:
        return "a file cannot be written: its disk is full"
    return f"{path} cannot be written: its disk is full{free(path)}"


def free(path: Path) -> str:
    """E.g. ``, 0 bytes free``; empty where nobody knows."""
    try:
        existing = next(each for each in (path, *path.parents) if each.exists())
        return f", {shutil.disk_usage(existing).free} bytes free"
    except (OSError, StopIteration):
        return ""
