"""The images of a data folder at a URL, copied once into this machine's cache.

Files appear under their names whole or not at all, and a journal says which
version of each is here, so that a copy that was cut goes on. One process copies,
the others wait for it. fsspec speaks to the server; credentials are its own
business (the environment, the machine's role) and appear in no message of ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from search.data.cache import relieve
from search.data.files import NoLocks, locked
from search.data.folder import SUFFIXES
from search.data.parallel import Progress
from search.data.place import FETCHED
from search.disk import disk_full
from search.problems import Exit, SearchError, fail
from search.space.urls import protocol_of, shown

_AT_ONCE = 16
"""Files under way at once, where the file system can do several."""
_TRIES = 3
_SPARE = 64 * 2**20
"""Bytes that a copy leaves free on the disk."""
_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified")
_TELLING = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|SIGNATURE|CONNECTION_STRING", re.I)
"""Names of environment variables whose values are shown to nobody."""


def check_protocol(url: str) -> None:
    """Refuse a URL that nothing installed here can read.

    Raises:
        SearchError: Exit.MISSING where a package is missing; Exit.DATA where
            fsspec knows no such protocol.
    """
    from fsspec.registry import get_filesystem_class

    protocol = protocol_of(url)
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or "fsspec[full]"
        raise fail(
            f"{shown(url)} cannot be read: the package {package} is not installed",
            fix=f"pip install {package}, on this machine and on every node",
            status=Exit.MISSING,
        ) from None
    except ValueError:
        raise fail(
            f"{shown(url)} cannot be read: {protocol}:// is no protocol that is known",
            fix="data: {path: s3://BUCKET/FOLDER}, gs://..., az://..., or a path",
            status=Exit.DATA,
        ) from None


def fetched_folder(url: str, cache: Path) -> Path:
    """Where the images of ``url`` are, or would be, in a cache folder."""
    key = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:32]
    return cache / FETCHED / key / "files"


def fetch_folder(
    url: str,
    *,
    cache: Path,
    progress: Progress,
    only: Collection[str] | None = None,
    env: Mapping[str, str] = os.environ,
) -> Path:
    """Copy the images below a URL; those that are here already are not copied again.

    Args:
        url: Of a folder, as fsspec takes it.
        cache: Our cache folder, on a local disk.
        progress: Told (what, done, total) for every few files.
        only: Paths relative to the folder that are wanted; None wants all images.
        env: Holds the secrets that no message may repeat.

    Returns:
        The folder of the copies, with the same paths below it.

    Raises:
        SearchError: Exit.MISSING without the protocol's package; Exit.DATA if it
            cannot be read; Exit.STORAGE without room.
    """
    check_protocol(url)
    files = fetched_folder(url, cache)
    try:
        files.mkdir(parents=True, exist_ok=True)
        with locked(
            files.parent / "lock",
            lambda: progress("waiting for another process that fetches images", 0, 0),
        ):
            _Copy(url, files, progress, env).make(cache, only)
    except NoLocks as error:
        raise fail(
            f"the cache folder {files} cannot be locked: {(error.strerror or '').lower()}",
            fix="SEARCH_CACHE=/a/folder/on/a/local/disk",
            status=Exit.STORAGE,
        ) from error
    except OSError as error:
        full = disk_full(error, files)
        raise fail(
            str(full) if full else f"{files} cannot be written: {error.strerror or error}",
            fix="free some space, or SEARCH_CACHE=/another/disk",
            status=Exit.STORAGE,
        ) from error
    return files


def harmless(text: str, env: Mapping[str, str]) -> str:
    """One line of ``text`` without the secrets of its URLs and of the environment."""
    line = shown(" ".join(text.split())[:2000])
    values = {env[name] for name in env if _TELLING.search(name) and len(env[name]) >= 4}
    for value in sorted(values, key=len, reverse=True):
        line = line.replace(value, "***")
    return line[:300]


def safe(relative: str) -> bool:
    """Whether a name that a server gave stays below the folder it is written to."""
    parts = relative.split("/")
    return "\0" not in relative and all(part not in ("", ".", "..") for part in parts)


class _Copy:
    """One copy of a folder; the lock is held."""

    def __init__(self, url: str, files: Path, progress: Progress, env: Mapping[str, str]) -> None:
        self._url = url
        self._files = files
        self._progress = progress
        self._env = env
        self._journal = files.parent / "journal.jsonl"

    def make(self, cache: Path, only: Collection[str] | None) -> None:
        self._progress("listing images", 0, 0)
        try:
            import fsspec

            system, root = fsspec.url_to_fs(self._url)
            there = dict(_listed(system, root))
        except Exception as error:  # whatever its package raises
            raise self._unreadable(error) from None
        if not there:
            raise fail(
                f"{shown(self._url)} holds no images, or is not there",
                fix="PROTOCOL://FOLDER/<class>/<image>.jpg",
                status=Exit.DATA,
            )
        bad = next((path for path in there if not safe(path)), None)
        if bad is not None:
            raise fail(
                f"{shown(self._url)} names {bad!r}, which leads out of the folder",
                fix="rename it",
                status=Exit.DATA,
            )
        known = self._recall()
        for path in known.keys() - there.keys():
            (self._files / path).unlink(missing_ok=True)
        here = {path for path, facts in there.items() if self._is_here(path, facts, known)}
        wanted = there.keys() if only is None else there.keys() & set(only)
        todo = sorted(wanted - here)
        need = sum(there[path][0] for path in todo)
        if todo and not relieve(cache, need + _SPARE):
            raise fail(
                f"the images of {shown(self._url)} need {need:,} bytes more in {cache}",
                fix="free some space, or SEARCH_CACHE=/a/larger/disk",
                status=Exit.STORAGE,
            )
        done = len(wanted) - len(todo)
        self._progress("fetching images", done, len(wanted))
        with self._journal.open("a", encoding="ascii") as journal:
            for path in self._copied(system, root, todo, there):
                done += 1
                journal.write(json.dumps([path, *there[path]]) + "\n")
                self._progress("fetching images", done, len(wanted))

    def _copied(
        self, system: Any, root: str, todo: list[str], there: Mapping[str, tuple[int, str]]
    ) -> Iterator[str]:
        """Paths as they have arrived."""
        several = getattr(system, "async_impl", False) or "file" in _protocols(system)
        with ThreadPoolExecutor(_AT_ONCE if several else 1, thread_name_prefix="fetch") as pool:
            flying: dict[Future[None], str] = {}
            left = iter(todo)
            try:
                while True:
                    for path in left:
                        flying[pool.submit(self._take, system, root, path, there[path][0])] = path
                        if len(flying) >= 2 * _AT_ONCE:
                            break
                    if not flying:
                        return
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        path = flying.pop(future)
                        future.result()
                        yield path
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, system: Any, root: str, path: str, size: int) -> None:
        """Copy one file, and give it its name when it is whole."""
        target = self._files / path
        part = target.with_name(f".{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            for left in reversed(range(_TRIES)):
                try:
                    system.get_file(f"{root.rstrip('/')}/{path}", str(part))
                    came = part.stat().st_size
                    if size >= 0 and came != size:
                        raise EOFError(f"{came:,} of {size:,} bytes came")
                    break
                except Exception as error:
                    if disk_full(error) is not None:
                        raise
                    if not left or isinstance(error, (FileNotFoundError, PermissionError)):
                        raise self._unreadable(error, path) from None
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _is_here(
        self, path: str, facts: tuple[int, str], known: Mapping[str, tuple[int, str]]
    ) -> bool:
        if known.get(path) != facts:
            return False
        with suppress(OSError):
            return facts[0] < 0 or (self._files / path).stat().st_size == facts[0]
        return False

    def _recall(self) -> dict[str, tuple[int, str]]:
        """(size, stamp) of every file that arrived, by path; a torn last line is none."""
        known: dict[str, tuple[int, str]] = {}
        with suppress(FileNotFoundError):
            for line in self._journal.read_text(encoding="ascii", errors="replace").splitlines():
                with suppress(ValueError, TypeError):
                    path, size, stamp = json.loads(line)
                    if safe(str(path)):
                        known[str(path)] = (int(size), str(stamp))
        return known

    def _unreadable(self, error: Exception, path: str = "") -> SearchError:
        """What went wrong, in a line that repeats no secret."""
        where = shown(self._url) + (f": {path}" if path else "")
        if isinstance(error, FileNotFoundError):
            why = "it is not there"
        else:
            said = harmless(str(error), self._env)
            why = f"{type(error).__name__}: {said}" if said else type(error).__name__
        return fail(
            f"{where} cannot be read: {why}",
            fix="the address, and the credentials of its protocol in the environment of this "
            "process (s3: AWS_PROFILE or AWS_ACCESS_KEY_ID; gs: GOOGLE_APPLICATION_CREDENTIALS)",
            status=Exit.DATA,
        )


def _protocols(system: Any) -> tuple[str, ...]:
    given = system.protocol
    return (given,) if isinstance(given, str) else tuple(given)


def _listed(system: Any, root: str) -> Iterator[tuple[str, tuple[int, str]]]:
    """(path relative to the root, (size, stamp)) of every visible image below it."""
    start = root.rstrip("/")
    found = system.find(root, detail=True)
    for full, facts in found.items():
        if not full.startswith(f"{start}/") or facts.get("type", "file") != "file":
            continue
        path = full[len(start) + 1 :]
        hidden = any(part.startswith(".") and part != ".." for part in path.split("/"))
        if hidden or PurePosixPath(path).suffix.lower() not in SUFFIXES:
            continue
        stamp = next((str(facts[name]) for name in _STAMPS if facts.get(name) is not None), "")
        size = facts.get("size")
        yield path, (-1 if size is None else int(size), stamp)
