"""Features that are read from the store, and put there by whoever first needs them.

:class:`StoredPrefix` fills a view when its first row is asked for: together with
other processes, in one forward pass for all boundaries that the study wants, from
the nearest boundary that is stored already. Whether a boundary is stored at all
is measured; see ``worth.py``. Where there is no room, no right to write or no
gain, it computes, to the same bits.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.data.cache import Room
from search.data.images import Part
from search.training.activations import ActivationStore, Family, arithmetic, shares
from search.training.inputs import view
from search.training.memory import give_back
from search.training.prefix import Boundary, ComputedPrefix, chunk_size, padded, run_frozen
from search.training.rows import from_rows
from search.training.share import Share
from search.training.stored_view import StoredView
from search.training.worth import Need, Worth

_OPEN = 3
"""Views that stay open: the epoch's, validation, and one to look back to."""
_AHEAD = 64 * 2**20
"""Bytes of stored features that are read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """What a process needs to store activations."""

    cache: Path
    room: Room
    boundaries: frozenset[int]
    """That trials of the study can have, 1..5."""
    worth: Worth
    """What this process has measured so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A view of a part that is stored whole."""

    view: StoredView
    places: NDArray[np.int64]
    """[N, 2] of the part's images."""


class StoredPrefix:
    """Reads features, and fills the store where they are missing.

    Args:
        boundary: Between the frozen and the trained blocks.
        settings: Of the store.
        note: Told what a person should know.
    """

    def __init__(
        self, boundary: Boundary, settings: StoreSettings, note: Callable[[str], None]
    ) -> None:
        self._at = boundary
        self._settings = settings
        self._note = note
        self._computed = ComputedPrefix(boundary)
        self._ready: OrderedDict[tuple[Part, str], _Ready | None] = OrderedDict()
        self._family = Family(
            backbone=boundary.staged.name,
            weights_hash=boundary.weights_hash,
            geometry=boundary.geometry,
            precision=boundary.activations,
            arithmetic=arithmetic(boundary.device),
        )
        self._store = self._open_store()

    def __call__(self, part: Part, chosen: NDArray[np.int64], number: int) -> Tensor:
        ready = self._get(part, number)
        if ready is None:
            return self._computed(part, chosen, number)
        form = ready.view.form
        assert form is not None
        return from_rows(ready.view.read(ready.places[chosen]), form, self._at.device)

    def ahead(self, number: int) -> int:
        """Whole chunks within a fixed number of bytes."""
        chunk = chunk_size(self._at.device)
        ready = self._get("train", number)
        if ready is None or ready.view.form is None:
            return chunk
        return chunk * max(1, _AHEAD // (ready.view.form.bytes * chunk))

    def _open_store(self) -> ActivationStore | None:
        settings = self._settings
        if self._at.frozen == 0 or settings.room.budget == 0:
            return None
        try:
            return ActivationStore(settings.cache, self._family, settings.room, self._note)
        except OSError as error:
            self._note(f"activations are not stored: {error}")
            return None

    def _get(self, part: Part, number: int) -> _Ready | None:
        key = (part, self._family.view(number))
        if key not in self._ready:
            self._ready[key] = self._whole(part, number)
        self._ready.move_to_end(key)
        while len(self._ready) > _OPEN:
            self._ready.popitem(last=False)
        return self._ready[key]

    def _whole(self, part: Part, number: int) -> _Ready | None:
        """The view, filled; None where it is computed instead."""
        if self._store is None:
            return None
        keys = self._at.data.part(part).keys
        opened = self._store.open(self._at.frozen, number, keys)
        try:
            if not self._fill(self._store, opened, part, number):
                return None
        except OSError as error:
            self._note(f"the store cannot be written, so activations are computed: {error}")
            self._store = None
            return None
        places = opened.find(keys)
        return _Ready(view=opened, places=places) if (places[:, 0] >= 0).all() else None

    def _fill(self, store: ActivationStore, opened: StoredView, part: Part, number: int) -> bool:
        """Compute and store what is missing; False where it is not to be stored."""
        keys = self._at.data.part(part).keys
        size = shares(len(keys), chunk_size(self._at.device))
        left = [np.arange(at, min(at + size, len(keys))) for at in range(0, len(keys), size)]
        left = [rows for rows in left if (opened.find(keys[rows])[:, 0] < 0).any()]
        again = False
        below: dict[int, StoredView] = {}
        while left:
            taken = []
            for place, rows in enumerate(left):
                # Others' shares are left to them; when only those remain, wait for one.
                with store.claim(number, keys[rows], wait=again and place == 0) as mine:
                    if mine is None:
                        taken.append(rows)
                        continue
                    opened.refresh()
                    missing = rows[opened.find(keys[rows])[:, 0] < 0]
                    _, once = np.unique(keys[missing], return_index=True)
                    missing = missing[np.sort(once)]
                    if len(missing) and not self._share(
                        store, part, number, missing, below=below, beat=mine.beat
                    ):
                        return False
                    opened.refresh()
            left, again = taken, True
        if again:  # computing leaves free memory behind that two trials at once do not have
            give_back()
        return True

    def _share(
        self,
        store: ActivationStore,
        part: Part,
        number: int,
        rows: NDArray[np.int64],
        *,
        below: dict[int, StoredView],
        beat: Callable[[], None],
    ) -> bool:
        """Compute and store rows of a view, at every wanted boundary on the way."""
        at = self._at
        need = self._need(store)
        # What would be computed to store it is computed again to train on it.
        if self._settings.worth.refuses(need, at.frozen, number):
            return False
        keys = at.data.part(part).keys[rows]
        lower, lower_view = self._nearest(store, part, number, keys, below)
        wanted = sorted({b for b in self._settings.boundaries if lower < b < at.frozen})
        share = Share(
            store=store,
            number=number,
            keys=keys,
            activations=at.activations,
            boundaries=(*wanted, at.frozen),
            start=lower,
            worth=self._settings.worth,
            need=need,
        )
        chunk = chunk_size(at.device)
        if lower_view is None:
            at.data.part(part).expect(rows)
        with share:
            for first in range(0, len(rows), chunk):
                beat()
                some = rows[first : first + chunk]
                began = time.perf_counter()
                if lower_view is None:
                    features = view(
                        at.data.part(part), padded(some, chunk), number, at.geometry, at.device
                    )
                else:
                    places = lower_view.find(at.data.part(part).keys[padded(some, chunk)])
                    form = lower_view.form
                    assert form is not None
                    features = from_rows(lower_view.read(places), form, at.device)
                boundary = lower
                for upto in share.boundaries:
                    features = run_frozen(
                        at.staged, features, upto, start=boundary, activations=at.activations
                    )
                    boundary = upto
                    if at.device.type == "cuda":  # what is measured is done, not only begun
                        torch.cuda.synchronize(at.device)
                    share.take(upto, features[: len(some)], time.perf_counter() - began)
                if not share.goes_on():
                    return False
            return share.publish()

    def _need(self, store: ActivationStore) -> Need:
        at = self._at
        return Need(
            family=self._family.key(),
            name=f"{at.staged.name} at {at.geometry.image_size} px",
            device=at.device,
            train=len(at.data.train),
            val=len(at.data.val),
            views=min(at.views, at.epochs),
            budget=store.room.budget,
        )

    def _nearest(
        self,
        store: ActivationStore,
        part: Part,
        number: int,
        keys: NDArray[np.uint64],
        below: dict[int, StoredView],
    ) -> tuple[int, StoredView | None]:
        """The highest boundary below ours that has all these images.

        ``below`` has the views of the part that are open already, by boundary.
        """
        for boundary in sorted(self._settings.boundaries, reverse=True):
            if boundary < self._at.frozen:
                if boundary in below:
                    below[boundary].refresh()
                else:
                    whole = self._at.data.part(part).keys
                    below[boundary] = store.open(boundary, number, whole)
                if (below[boundary].find(keys)[:, 0] >= 0).all():
                    return boundary, below[boundary]
        return 0, None
