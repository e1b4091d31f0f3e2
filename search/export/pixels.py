"""Files to decoded squares, in parallel. PIL and numpy alone, for child processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.decode import BadImage, decode_rgb, square
from search.data.parallel import each

_BYTES = 256 * 2**20
"""Decoded bytes that are held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Squares:
    """Some consecutive files, decoded."""

    images: NDArray[np.uint8]
    """[N, side, side, 3] of the files that could be read, in order."""
    rows: tuple[int, ...]
    """N indices into the paths that were passed."""
    errors: tuple[tuple[int, str], ...]
    """(index, reason) of those that could not be read."""

    @property
    def unread_last(self) -> bool:
        """Whether the last of them could not be read."""
        return bool(self.errors) and self.errors[-1][0] > max(self.rows, default=-1)


def squares(
    paths: Sequence[Path], *, side: int, interpolation: str, progress: Callable[[int], None]
) -> Iterator[Squares]:
    """Decode all files, a part at a time, in their order.

    Args:
        paths: Of images; a bad one is an error of its own and stops nothing.
        side: Pixels.
        interpolation: ``bilinear`` or ``bicubic``.
        progress: Called with the number of files decoded so far.
    """
    step = max(64, _BYTES // (side * side * 3))
    for start in range(0, len(paths), step):
        some = [
            _Task(path=path, side=side, interpolation=interpolation)
            for path in paths[start : start + step]
        ]
        found: dict[int, NDArray[np.uint8] | str] = {}
        for index, result in each(_decode, some, crashed=_crashed):
            found[start + index] = result
            progress(start + len(found))
        rows = [row for row in sorted(found) if not isinstance(found[row], str)]
        images = np.empty((len(rows), side, side, 3), dtype=np.uint8)
        for place, row in enumerate(rows):
            images[place] = found[row]
        yield Squares(
            images=images,
            rows=tuple(rows),
            errors=tuple(
                (row, reason) for row, reason in sorted(found.items()) if isinstance(reason, str)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    path: Path
    side: int
    interpolation: str


def _decode(task: _Task) -> NDArray[np.uint8] | str:
    try:
        return square(decode_rgb(task.path), task.side, task.interpolation)
    except BadImage as error:
        return error.reason


def _crashed(_: _Task) -> NDArray[np.uint8] | str:
    return "crashes the decoder"
