"""Getting pretrained weights from the library's server, once and verified.

A download goes to a temporary file, is compared with the sha256 that the
library states (of timm's files, the hub), and only then takes its name: what is
in the folder is whole. What states no sha256 is refused. The hub's is kept beside
the file, in ``NAME.sha256``, so that the file is checked again whenever it is read.
Torch-free; never called inside a trial.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, TypeAlias
from urllib.request import Request

from search.backbones.availability import (
    Located,
    Missing,
    digest_file,
    file_name,
    find_downloaded,
    locate,
    weights_folder,
)
from search.backbones.catalogue import chosen
from search.backbones.info import BackboneInfo
from search.problems import Exit, SearchError, fail
from search.space.spec import WeightsSpec

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a backbone's name, bytes so far and bytes in all (0: unknown)."""

SILENCE = 30.0
"""Seconds without a byte after which a server counts as gone."""

LIMIT = 3600.0
"""Seconds that one file may take in all."""

CHUNK = 1 << 18


def fetch(name: str, spec: WeightsSpec, cache: Path, progress: Progress) -> Located:
    """Find a backbone's weights, download them where they are not, verify them.

    Args:
        name: A name of the catalogue.
        spec: What the space file says under ``weights``.
        cache: Our cache folder; downloads go to its ``weights/``.
        progress: Called at the start and after every piece of a download.

    Raises:
        SearchError: Exit 69 where they cannot be had: no network, an answer
            other than the file, a wrong hash, no optional package, no space,
            or a file of the user's that is not there.
    """
    located = locate(name, spec, cache)
    info = chosen(name, spec)
    if isinstance(located, Missing):
        if not located.fetchable:
            raise fail(located.reason, fix=located.fix, status=Exit.MISSING)
        return download(info, cache, progress)
    if located.path is not None and not _fits(located):
        if not info.url or not located.sha256:
            raise _wrong_bytes(located)
        return download(info, cache, progress)
    return located


def download(
    info: BackboneInfo,
    cache: Path,
    progress: Progress,
    *,
    silence: float = SILENCE,
    limit: float = LIMIT,
) -> Located:
    """Download one file into our cache folder, verified; see :func:`fetch`.

    Args:
        info: Its ``url`` and ``sha256_prefix`` say what is wanted.
        silence: Seconds without a byte before we give up.
        limit: Seconds in all before we give up.
    """
    folder = weights_folder(cache)
    target = folder / file_name(info)
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=folder, prefix=f".{target.name}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            digest, stated = _receive(info, file, folder, progress, silence, limit)
            file.flush()
            os.fsync(file.fileno())
        wanted = info.sha256_prefix or stated
        if not digest.startswith(wanted):
            raise fail(
                f"{info.name}: what {info.url} gave has the sha256 {digest[:12]}..., "
                f"not {wanted[:12]}...",
                fix="try again; if it stays so, a proxy may be changing it",
                status=Exit.MISSING,
            )
        if stated:
            _keep(digest, digest_file(target))  # first: a file of before no longer fits it
        temporary.replace(target)
        _sync(folder)
    except (OSError, http.client.HTTPException) as error:
        raise _no_file(info, folder, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    found = find_downloaded(info, cache)
    assert isinstance(found, Located)
    return found


def _receive(
    info: BackboneInfo,
    file: IO[bytes],
    folder: Path,
    progress: Progress,
    silence: float,
    limit: float,
) -> tuple[str, str]:
    """Copy the answer into ``file``; its sha256, and the one that the server stated on
    the way to it (empty where it did not)."""
    digest = hashlib.sha256()
    done = 0
    end = time.monotonic() + limit
    redirects = _Redirects()
    opener = urllib.request.build_opener(redirects)
    with opener.open(info.url, timeout=silence) as answer:
        if not info.sha256_prefix and not redirects.sha256:
            raise fail(
                f"{info.name}: what answered for {info.url} states no sha256, so it is not the "
                "hub, and its file cannot be verified",
                fix=_by_hand(info, folder),
                status=Exit.MISSING,
            )
        total = int(answer.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(folder).free
        if total > free:
            raise fail(
                f"{info.name}: {total:,} bytes to download, {free:,} bytes free in {folder}",
                fix="free some space, or set SEARCH_CACHE to a folder on another disk",
                status=Exit.MISSING,
            )
        progress(info.name, 0, total)
        while piece := answer.read1(CHUNK):
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            progress(info.name, done, total)
            if time.monotonic() > end:
                raise TimeoutError(f"not complete after {limit:g} s: {done:,} of {total:,} bytes")
    if done < total:
        raise http.client.IncompleteRead(b"", total - done)
    return digest.hexdigest(), redirects.sha256


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows as usual, and remembers the sha256 that Hugging Face's hub states of a
    file before it sends on to where the file is."""

    sha256 = ""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        stated = (headers.get("X-Linked-Etag") or "").strip('"').lower()
        if re.fullmatch("[0-9a-f]{64}", stated):
            self.sha256 = stated
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _no_file(info: BackboneInfo, folder: Path, error: Exception) -> SearchError:
    """What went wrong on the way, told apart."""
    fix = _by_hand(info, folder)
    if isinstance(error, urllib.error.HTTPError):
        fact = f"the server answered {error.code} {error.reason} for {info.url}"
    elif isinstance(error, urllib.error.URLError):
        fact = f"no network: {info.url} could not be reached ({error.reason})"
    elif isinstance(error, http.client.IncompleteRead):
        fact = f"the download of {info.url} broke off, {error.expected:,} bytes before its end"
    elif isinstance(error, (TimeoutError, ConnectionError, http.client.HTTPException)):
        fact = f"the download of {info.url} broke off: {str(error) or type(error).__name__}"
    else:
        free = shutil.disk_usage(folder).free if folder.is_dir() else 0
        fact = f"{folder} cannot be written to: {error} ({free:,} bytes free)"
        fix = "free some space, or set SEARCH_CACHE to a folder that can be written to"
    return fail(f"{info.name}: {fact}", fix=fix, status=Exit.MISSING)


def _by_hand(info: BackboneInfo, folder: Path) -> str:
    return f"put {file_name(info)} from {info.url} into {folder}, or weights: {{unavailable: skip}}"


def _keep(digest: str, path: Path) -> None:
    """Write a digest whole or not at all."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            file.write(f"{digest}\n")
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


_RANDOM = "random-body"
"""``random:<seed>`` is what earlier versions called a body that was the same for every seed."""


def weights_hash(located: Located, *, seed: int = 0) -> str:
    """What the weights are, by content.

    Args:
        seed: The ``body_seed`` that ``stages.build`` initialises a random body with.

    Returns:
        The file's sha256, 64 hex digits; ``random-body:<seed>`` where the source is
        random.
    """
    if located.path is None:
        return f"{_RANDOM}:{seed}"
    try:
        with located.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise fail(f"{located.path} cannot be read: {error.strerror}") from error


def body_seed(weights_hash: str) -> int:
    """The ``body_seed`` of a random body; 0 of weights that were trained.

    Args:
        weights_hash: As :func:`weights_hash` gives it.
    """
    source, _, seed = weights_hash.partition(":")
    return int(seed) if source == _RANDOM else 0


def check(located: Located) -> None:
    """Raise SearchError unless the file has the sha256 that is expected of it."""
    if not _fits(located):
        raise _wrong_bytes(located)


def _fits(located: Located) -> bool:
    return not located.sha256 or weights_hash(located).startswith(located.sha256)


def _wrong_bytes(located: Located) -> SearchError:
    return fail(
        f"{located.name}: {located.path} is damaged: its sha256 is not {located.sha256}"
        + ("..." if len(located.sha256) < 64 else ""),
        fix="search weights fetch SPACE replaces a download; a package is to be installed again",
        status=Exit.MISSING,
    )


def _sync(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
