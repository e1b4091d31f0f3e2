"""What frozen blocks put out, on disk, by content: for every (image, view, boundary).

A family is everything but these three: weights, geometry, precision, arithmetic.
It is a folder of views; a view holds segments of each boundary. Who misses rows
claims a share of them, computes it, and publishes a segment; several processes
fill one view together. Nothing here changes a result: what is not stored is
computed, to the same bits.

    activations/FAMILY/VIEW/b3-NAME.rows

Legend: N images, b boundary (blocks in front of it), 1..5.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from search.backbones.catalogue import CATALOGUE
from search.data.cache import FOLDERS, Room
from search.data.decode import DECODER
from search.data.files import write_whole
from search.training.augmentation import AUGMENTATION_VERSION
from search.training.inputs import EVALUATION, Geometry
from search.training.prefix import chunk_size
from search.training.segments import RowForm, SegmentWriter, segment_bytes
from search.training.stored_view import StoredView

_FORMAT = 1
"""Raised with the format, and with what a boundary or the rounding at it means."""
STALLED = 60.0
"""Seconds without a chunk after which a claim no longer keeps others waiting."""
_SEGMENTS = 64
"""A view is stored as about this many segments, if it has enough images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All that determines features but image, view and boundary."""

    backbone: str
    weights_hash: str
    geometry: Geometry
    precision: str
    """``float16`` or ``float32``: what features are rounded to."""
    arithmetic: str
    """What computes: device, type and library; other machines may differ in last bits."""

    def key(self) -> str:
        """A content hash; names a folder."""
        geometry = self.geometry
        facts = [
            _FORMAT,
            DECODER,
            AUGMENTATION_VERSION,
            _libraries(self.backbone),
            self.backbone,
            self.weights_hash,
            geometry.image_size,
            asdict(geometry.preprocessing),
            self.precision,
            self.arithmetic,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]

    def view(self, number: int) -> str:
        """The folder of a view. Without a recipe it is what evaluation sees."""
        geometry = self.geometry
        if number == EVALUATION or geometry.recipe is None:
            return "evaluation"
        return f"{geometry.recipe.name}-{geometry.augmentation_seed}-{number:05d}"


def arithmetic(device: torch.device) -> str:
    """What computes on a device: part of a family's key."""
    if device.type == "cuda":
        what = f"{torch.cuda.get_device_name(device)} bf16"
    else:
        what = f"{torch.backends.cpu.get_cpu_capability()} float32"
    return f"{what} torch {torch.__version__}, {chunk_size(device)} at once"


@lru_cache(maxsize=64)
def _libraries(backbone: str) -> list[str]:
    """Versions of what builds the backbone and changes pixels; torch's is in ``arithmetic``."""
    names = sorted({"torchvision", CATALOGUE[backbone].library})
    return [f"{name} {version(name)}" for name in names]


def shares(count: int, chunk: int) -> int:
    """Images that are claimed, computed and stored together; a multiple of ``chunk``."""
    return chunk * max(4, -(-count // (_SEGMENTS * chunk)))


class ActivationStore:
    """The stored features of one family. Opened by a trial, closed with it.

    Args:
        cache: The cache folder.
        family: What the features are of.
        room: The cache's byte budget.
        note: Told what a person should know.

    Raises:
        OSError: If the folder cannot be made.
    """

    def __init__(
        self, cache: Path, family: Family, room: Room, note: Callable[[str], None]
    ) -> None:
        self.family = family
        self.room = room
        self._note = note
        self.folder = cache / FOLDERS["activations"] / family.key()
        about = self.folder / "family.json"
        if not about.exists():
            geometry = family.geometry
            text = json.dumps(
                {
                    "backbone": family.backbone,
                    "weights": family.weights_hash,
                    "image_size": geometry.image_size,
                    "precision": family.precision,
                    "arithmetic": family.arithmetic,
                }
            )
            write_whole(about, text.encode())

    def open(self, boundary: int, number: int, keys: NDArray[np.uint64]) -> StoredView:
        """What is stored of some images of a view at a boundary, as of now."""
        folder = self.folder / self.family.view(number)
        return StoredView(folder, boundary, keys, self._note)

    @contextmanager
    def claim(self, number: int, keys: NDArray[np.uint64], *, wait: bool) -> Iterator[Claim | None]:
        """Be the one process that computes these images of a view.

        Args:
            number: The view.
            keys: [N] images.
            wait: Until whoever has the claim is done, or dead, or has not gone on
                for STALLED seconds (it may be stopped); that is said.

        Yields:
            The claim, or None where another process has it.
        """
        folder = self.folder / self.family.view(number)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{_name(keys)}.claim"
        with path.open("ab") as file:
            if not (_taken(file) or (wait and self._outwaited(file))):
                yield None
                return
            try:
                yield Claim(file)
            finally:
                # Another process may hold the removed file: it computes what is
                # there already, at worst.
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _outwaited(self, file: BinaryIO) -> bool:
        """Wait for a claim, in short sleeps so that Ctrl-C is heard; always true in the end."""
        seen, since = -1, time.monotonic()
        while not _taken(file):
            if (beat := os.fstat(file.fileno()).st_mtime_ns) != seen:
                seen, since = beat, time.monotonic()
            if time.monotonic() - since > STALLED:
                self._note(
                    f"another process has not gone on for {STALLED:.0f} s with activations that "
                    "it claimed: they are computed here"
                )
                break
            time.sleep(0.05)
        return True

    def writer(
        self, boundary: int, number: int, keys: NDArray[np.uint64], form: RowForm
    ) -> SegmentWriter | None:
        """A segment to fill, or None when there is no room for it.

        Raises:
            OSError: If it cannot be made.
        """
        if not self.room.make(segment_bytes(len(keys), form)):
            return None
        folder = self.folder / self.family.view(number)
        folder.mkdir(parents=True, exist_ok=True)
        return SegmentWriter(folder / f"b{boundary}-{_name(keys)}.rows", keys, form)


class Claim:
    """The right to compute some images of a view."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def beat(self) -> None:
        """Tell those who wait that it goes on."""
        with suppress(OSError):
            os.utime(self._file.fileno())


def _taken(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name(keys: NDArray[np.uint64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()[:16]
