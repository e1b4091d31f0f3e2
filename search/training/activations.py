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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from search.data.cache import FOLDERS, Room
from search.data.decode import DECODE_VERSION
from search.data.files import write_whole
from search.training.inputs import EVALUATION, Geometry
from search.training.segments import (
    BadSegment,
    RowForm,
    Segment,
    SegmentWriter,
    open_segment,
    segment_bytes,
)

_FORMAT = 1
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
            DECODE_VERSION,
            self.backbone,
            self.weights_hash,
            geometry.image_size,
            asdict(geometry.preprocessing),
            self.precision,
            self.arithmetic,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]

    def view(self, number: int) -> str:
        """The folder of a view. The policy ``none`` shows what evaluation sees."""
        geometry = self.geometry
        if number == EVALUATION or geometry.policy == "none":
            return "evaluation"
        return f"{geometry.policy}-{geometry.augmentation_seed}-{number:05d}"


def arithmetic(device: torch.device) -> str:
    """What computes on a device: part of a family's key."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} bf16 torch {torch.__version__}"
    return f"{torch.backends.cpu.get_cpu_capability()} float32 torch {torch.__version__}"


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

    def open(self, boundary: int, number: int) -> StoredView:
        """What is stored of a view at a boundary, as of now."""
        folder = self.folder / self.family.view(number)
        return StoredView(folder, boundary, self._note)

    @contextmanager
    def claim(self, number: int, keys: NDArray[np.uint64], *, wait: bool) -> Iterator[bool]:
        """Be the one process that computes these images of a view.

        Args:
            number: The view.
            keys: [N] images.
            wait: Until whoever has the claim is done, or dead.

        Yields:
            Whether the claim is held.
        """
        folder = self.folder / self.family.view(number)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{_name(keys)}.claim"
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                # Another process may hold the removed file: it computes what is
                # there already, at worst.
                with suppress(OSError):
                    path.unlink(missing_ok=True)

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


class StoredView:
    """The segments of one view at one boundary, found by the images' keys."""

    def __init__(self, folder: Path, boundary: int, note: Callable[[str], None]) -> None:
        self._folder = folder
        self._pattern = f"b{boundary}-*.rows"
        self._note = note
        self._segments: list[Segment] = []
        self._opened: set[str] = set()
        self._keys = np.empty(0, dtype=np.uint64)
        self._at = np.empty((0, 2), dtype=np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Open what was published since the last look; drop what is damaged, and say so."""
        added = [path for path in self._folder.glob(self._pattern) if path.name not in self._opened]
        for path in sorted(added):
            try:
                segment = open_segment(path)
            except BadSegment as error:
                self._note(f"stored activations {path} are computed again: {error}")
                path.unlink(missing_ok=True)
                continue
            except OSError:
                continue  # evicted meanwhile, or not readable: computed
            if self._segments and segment.form != self._segments[0].form:
                self._note(f"stored activations {path} are computed again: another shape")
                path.unlink(missing_ok=True)
                continue
            self._opened.add(path.name)
            self._add(segment)

    def _add(self, segment: Segment) -> None:
        count = len(segment.keys)
        at = np.stack([np.full(count, len(self._segments)), np.arange(count)], axis=1)
        keys = np.concatenate([self._keys, segment.keys])
        order = np.argsort(keys, kind="stable")
        self._keys, self._at = keys[order], np.concatenate([self._at, at])[order]
        self._segments.append(segment)

    @property
    def form(self) -> RowForm | None:
        """Of the rows; None while there are none."""
        return self._segments[0].form if self._segments else None

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where images are: [N, 2] (segment, row), -1 for what is not stored."""
        found = np.full((len(keys), 2), -1, dtype=np.int64)
        if len(self._keys):
            place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            hit = self._keys[place] == keys
            found[hit] = self._at[place[hit]]
        return found

    def read(self, at: NDArray[np.int64]) -> NDArray[Any]:
        """Rows by their places, [N, *form.shape]; every place is one that ``find`` gave."""
        form = self._segments[0].form
        rows = np.empty((len(at), *form.shape), dtype=form.dtype)
        for number in np.unique(at[:, 0]).tolist():
            mine = at[:, 0] == number
            rows[mine] = self._segments[number].rows[at[mine, 1]]
        return rows


def _name(keys: NDArray[np.uint64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()[:16]
