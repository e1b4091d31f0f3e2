"""Some images of a view on their way from the model into the store.

Legend: N images of the share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from search.space.spec import ActivationType
from search.training.activations import ActivationStore
from search.training.rows import to_rows
from search.training.segments import RowForm, SegmentWriter
from search.training.worth import Need, Sample, Worth

_HELD = 64 * 2**20
"""Bytes that wait in memory at most while a boundary's worth is measured."""


class Share:
    """Segments of several boundaries, filled by one forward pass.

    Keeps the first chunks in memory until it is known which boundaries are worth
    storing; then writes as chunks come. Leaves nothing half-written behind.

    Args:
        store: Of the family.
        number: The view.
        keys: [N] of the images, in the order in which they come.
        activations: What features are rounded to already.
        boundaries: Ascending; the last is the one that the trial needs.
        start: The boundary that the pass starts from; 0 is the image.
        worth: What this process has measured.
        need: How much there is to store.
    """

    def __init__(
        self,
        *,
        store: ActivationStore,
        number: int,
        keys: NDArray[np.uint64],
        activations: ActivationType,
        boundaries: tuple[int, ...],
        start: int,
        worth: Worth,
        need: Need,
    ) -> None:
        self.boundaries = boundaries
        self._start = start
        self._store = store
        self._number = number
        self._keys = keys
        self._activations: ActivationType = activations
        self._worth = worth
        self._need = need
        self._waiting: dict[int, list[NDArray[Any]]] = {b: [] for b in boundaries}
        self._seconds = dict.fromkeys(boundaries, 0.0)
        self._done = dict.fromkeys(boundaries, 0)
        self._forms: dict[int, RowForm] = {}
        self._writers: dict[int, SegmentWriter] | None = None

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in (self._writers or {}).values():
            writer.abandon()

    def take(self, boundary: int, features: Tensor, seconds: float) -> None:
        """The next images at a boundary, and how long they took from the start."""
        rows, form = to_rows(features, self._activations)
        self._forms[boundary] = form
        if self._writers is not None:
            if boundary in self._writers:
                self._writers[boundary].append(rows)
            return
        self._waiting[boundary].append(rows)
        self._seconds[boundary] += seconds
        self._done[boundary] += len(rows)

    def goes_on(self) -> bool:
        """Decide when enough was measured; False when our boundary is not stored."""
        if self._writers is None and self._enough():
            self._decide()
        return self._writers is None or self.boundaries[-1] in self._writers

    def publish(self) -> bool:
        """Make the segments appear; whether our boundary is among them."""
        if self._writers is None:
            self._decide()
        assert self._writers is not None
        for writer in self._writers.values():
            writer.publish()
        return self.boundaries[-1] in self._writers

    def _enough(self) -> bool:
        last = self.boundaries[-1]
        held = sum(form.bytes * self._done[b] for b, form in self._forms.items())
        known = all(self._worth.knows(self._need, b) for b in self.boundaries)
        return known or self._seconds[last] > Worth.SECONDS or held > _HELD

    def _decide(self) -> None:
        self._writers = {}
        # From the head on: a boundary's room is what those nearer to the head leave.
        for boundary, chunks in sorted(self._waiting.items(), reverse=True):
            rows = np.concatenate(chunks)
            sample = Sample(
                boundary=boundary,
                start=self._start,
                rows=rows,
                form=self._forms[boundary],
                seconds=self._seconds[boundary],
            )
            if not self._worth.stores(self._need, sample, self._number, self._store.folder):
                continue
            writer = self._store.writer(boundary, self._number, self._keys, self._forms[boundary])
            if writer is None:
                continue
            self._writers[boundary] = writer
            writer.append(rows)
        self._waiting = {boundary: [] for boundary in self.boundaries}
