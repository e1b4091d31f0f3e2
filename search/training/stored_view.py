"""The segments of one view at one boundary, opened and found by image.

What is damaged, foreign or gone is no error: it is said, dropped, and computed by
whoever asked.

Legend: N images, b boundary (blocks in front of it), 1..5.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.training.segments import BadSegment, RowForm, Segment, open_segment


class StoredView:
    """The segments of one view at one boundary, found by the images' keys.

    Args:
        folder: Of the view.
        boundary: 1..5.
        keys: Images that will be asked for. Segments without any of them belong
            to other data: they are neither read nor held nor marked as used.
        note: Told what a person should know.
    """

    def __init__(
        self, folder: Path, boundary: int, keys: NDArray[np.uint64], note: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._pattern = f"b{boundary}-*.rows"
        self._wanted = np.unique(keys)
        self._note = note
        self._segments: list[Segment] = []
        self._seen: dict[str, tuple[int, int]] = {}
        """(inode, mtime_ns) by name of what was looked at, good or not."""
        self._keys = np.empty(0, dtype=np.uint64)
        self._at = np.empty((0, 2), dtype=np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Open what was published since the last look; drop what is damaged, and say so."""
        added: list[Segment] = []
        bad: list[str] = []
        for path in sorted(self._folder.glob(self._pattern)):
            try:
                facts = path.stat()
                state = facts.st_ino, facts.st_mtime_ns
                if self._seen.get(path.name) == state:
                    continue
                self._seen[path.name] = state
                segment = open_segment(path, self._has)
                if segment is not None:
                    self._check_form(segment, added)
                    added.append(segment)
            except BadSegment as error:
                bad.append(f"{path} are computed again: {error}")
                # What cannot be removed is passed over, and written over where there is a right.
                with suppress(OSError):
                    if path.stat().st_ino == state[0]:  # not what was written meanwhile
                        path.unlink()
            except OSError:  # evicted meanwhile, or not readable: computed
                self._seen.pop(path.name, None)
        if bad:
            more = f", and {len(bad) - 1} more files" if len(bad) > 1 else ""
            self._note(f"stored activations {bad[0]}{more}")
        if added:
            self._add(added)

    def _has(self, keys: NDArray[np.uint64]) -> bool:
        place = np.minimum(np.searchsorted(self._wanted, keys), len(self._wanted) - 1)
        return bool((self._wanted[place] == keys).any())

    def _check_form(self, segment: Segment, added: list[Segment]) -> None:
        first = (self._segments or added or [segment])[0]
        if segment.form != first.form:
            raise BadSegment("another shape")

    def _add(self, added: list[Segment]) -> None:
        keys, at = [self._keys], [self._at]
        for number, segment in enumerate(added, start=len(self._segments)):
            count = len(segment.keys)
            keys.append(segment.keys)
            at.append(np.stack([np.full(count, number), np.arange(count)], axis=1))
        joined = np.concatenate(keys)
        order = np.argsort(joined, kind="stable")
        self._keys, self._at = joined[order], np.concatenate(at)[order]
        self._segments += added

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
