"""One driver per study on a machine: a lock file beside its checkpoints.

The kernel drops the lock when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from search.problems import Exit, fail

_FILE = "driver.lock"
_held: set[int] = set()
"""Descriptors of this process's locks; a forked child lets go of them, so that
one that outlives the driver does not hold the study."""


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


class StudyLock:
    """Held for the time of a ``with``.

    Args:
        folder: Of the study; made if needed.

    Raises:
        SearchError: On entry, if another process holds it (4); names host and pid.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._descriptor: int | None = None

    def __enter__(self) -> StudyLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise fail(
                f"{self._path}: cannot be written: {error.strerror}",
                fix="checkpoints: {dir: ...} somewhere that can be written",
                status=Exit.STORAGE,
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise fail(
                f"study {self._path.parent.name} is already running{holder}",
                fix="wait for it, or take another --name; search status shows how far it is",
                status=Exit.CONFLICT,
            ) from None
        content = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(content).encode(), 0)
        self._descriptor = descriptor
        _held.add(descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor in _held:
            _held.discard(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _holder(descriptor: int) -> str:
    """Who holds it, as far as the file says."""
    try:
        content = json.loads(os.pread(descriptor, 4096, 0))
        return f" on {content['host']}, pid {content['pid']}, since {content['since']}"
    except (ValueError, KeyError, TypeError):
        return ""
