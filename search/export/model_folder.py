"""Writes an exported model's folder: whole, or not at all.

``model.safetensors``, ``model.json`` and ``README.md`` are written and synced
in a hidden folder beside it, and then renamed into place. An earlier export
there is replaced; anything else that is there is left alone and refused.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from search.export.card import card
from search.export.contents import (
    CARD_FILE,
    FILES,
    FORMAT,
    INFO_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    to_document,
)
from search.export.report import TestResult
from search.problems import Exit, SearchError, fail

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContents:
    """A model that is ready to leave the study."""

    info: ModelInfo
    state: Mapping[str, Tensor]
    """The whole state dict under the library's own names."""

    def measured(self, test: TestResult, *, on: str) -> ModelContents:
        """The same model with its figures on the test set, computed on a device."""
        return replace(self, info=replace(self.info, test=test, measured_on=on))


def write_folder(destination: Path, contents: ModelContents) -> Path:
    """Write the model's folder and return it, absolute.

    Args:
        destination: The folder; its parents are made. An empty folder or an
            earlier export is replaced.
        contents: What goes into it.

    Raises:
        SearchError: If something else is at ``destination``, or it cannot be
            written (exit 74 where the disk is full). Nothing is left behind.
    """
    target = check_destination(destination)
    try:
        with scratch(target) as room:
            fresh = room / "new"
            fresh.mkdir(mode=0o755)
            _fill(fresh, contents)
            _sync(fresh)
            _swap(fresh, target, room / "old")
            _sync(target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """A hidden folder beside ``target``, gone afterwards; parents are made.

    What processes of this machine that were killed left there goes as well.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.{socket.gethostname()}-"
    for left in target.parent.glob(f"{glob.escape(prefix)}*"):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    room = target.parent / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
    room.mkdir(mode=0o755)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def check_destination(destination: Path) -> Path:
    """Where an export to ``destination`` would land, absolute, links followed.

    Raises:
        SearchError: If there is something that an export must not replace: a
            file, or a folder that holds anything but an earlier export.
    """
    if "\0" in str(destination):
        raise fail("the export folder's name holds a NUL character", fix="--to another/folder")
    try:
        target = destination.resolve()
        if target == target.parent:
            raise fail(f"{target} is the root folder", fix="--to another/folder")
        if not target.exists():
            return target
        if not target.is_dir():
            raise fail(f"{target} is a file, not a folder", fix="--to another/folder")
        strangers = sorted(set(os.listdir(target)) - set(FILES))
        ours = _is_export(target / INFO_FILE)
    except OSError as error:
        raise _unwritable(destination, error) from error
    except RuntimeError:
        raise fail(f"{destination}: a circle of links", fix="--to another/folder") from None
    if strangers or (any(target.iterdir()) and not ours):
        what = f"holds {strangers[0]}" if strangers else "is not an earlier export"
        raise fail(
            f"{target} {what}, and would be replaced by the export",
            fix="--to a folder that does not exist yet",
        )
    return target


def _is_export(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT


def _fill(folder: Path, contents: ModelContents) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().cpu().clone().contiguous() for name, tensor in contents.state.items()
    }
    weights = folder / WEIGHTS_FILE
    try:
        save_file(tensors, weights, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
    _sync(weights)
    document = to_document(contents.info, sha256=file_sha256(weights))
    text = json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    for name, content in ((INFO_FILE, text), (CARD_FILE, card(contents.info))):
        (folder / name).write_text(content, encoding="utf-8")
        _sync(folder / name)
    shutil.copymode(folder / CARD_FILE, weights)  # safetensors lets nobody else read


def file_sha256(path: Path) -> str:
    """64 hex digits of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _swap(fresh: Path, target: Path, aside: Path) -> None:
    """Give ``fresh`` the name ``target``; what was there is moved aside first,
    and back again if that fails."""
    if not target.exists():
        fresh.rename(target)
        return
    target.rename(aside)
    try:
        fresh.rename(target)
    except OSError:
        aside.rename(target)
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> SearchError:
    fact = f"{path}: cannot be written: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = _free(path)
        return fail(f"{fact}; {free} bytes are free", fix="--to a larger disk", status=Exit.STORAGE)
    return fail(fact, fix="--to a folder that you may write to")


def _free(path: Path) -> int:
    for place in (path, *path.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0
