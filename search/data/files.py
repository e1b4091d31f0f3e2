"""Files that appear whole or not at all, and one process at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.disk import disk_full


def write_whole(path: Path, content: bytes) -> None:
    """Write ``path`` so that a reader sees the old content or the new, never a part.

    The folder is made when it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own also where process numbers repeat, as in containers.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except OSError as error:
        full = disk_full(error, path)
        if full is None:
            raise
        raise full from error
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Rename a file that is already synced; the new name survives a power cut."""
    temporary.replace(path)
    _sync(path.parent)


def publish_first(temporary: Path, path: Path) -> bool:
    """As :func:`publish`, but of several that do it for one ``path`` one succeeds, and
    what is there already stays.

    Returns:
        Whether ``path`` is this file now; ``temporary`` is gone if so.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: nobody is held off there
        if path.exists():
            return False
        temporary.replace(path)
    temporary.unlink(missing_ok=True)
    _sync(path.parent)
    return True


def _sync(place: Path) -> None:
    folder = os.open(place, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot sync a folder
            os.fsync(folder)
    finally:
        os.close(folder)


class NoLocks(OSError):
    """The file system has no locks."""


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``path``; the lock ends with the process, however it dies.

    Args:
        path: Made when it is missing; its folder exists.
        waiting: Called about once a second while another process holds the lock.

    Raises:
        NoLocks: If the file system refuses to lock.
    """
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(1.0)
            except OSError as error:
                raise NoLocks(*error.args) from error
        yield
