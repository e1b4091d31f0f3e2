"""The decoded images of a table where there is no room for them: decoded again each time.

:class:`StreamedImages` stands where the mapped array of ``store.py`` would, and
gives the same bits; it holds a few images, however many there are. Threads decode:
PIL lets the others run while it decodes and resizes, as hashing does (two threads
on two cores decode 1.85 times the images of one: JPEG of 640 x 480 to 280 px), and
what they make need not be copied between processes. A file that killed its process
was found before the first trial, and one with another content is not decoded.
Legend: N images, S side in pixels, C = 3 channels (RGB), B rows asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from search.data.decode import BadImage, checked_square
from search.data.images import DecodedForm, ImageTable
from search.data.listing import changed_images
from search.data.parallel import Progress, cores
from search.data.store import ensure_decoded
from search.problems import Exit, Problem, SearchError

AHEAD_BYTES = 32 * 2**20
"""Of the images that are decoded before they are asked for, at most."""
AHEAD_IMAGES = 256
"""Such images, at most: of small ones, more would gain nothing."""


def stored_or_streamed(
    table: ImageTable,
    form: DecodedForm,
    *,
    streamed: Collection[DecodedForm],
    cache: Path,
    progress: Progress,
    workers: int | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> npt.NDArray[np.uint8] | StreamedImages:
    """The decoded images of a table: mapped, made first where they are not there;
    streamed where that was decided, or this machine has no room for them.

    Args:
        table: The images.
        form: What they are decoded to.
        streamed: What it was decided for.
        cache: Our cache folder.
        progress: As ``ensure_decoded``'s.
        workers: Processes, or threads, that decode; None is one for each core.
        note: Told in one line when there turns out to be no room.

    Raises:
        SearchError: Exit.DATA, if an image is no longer what the table says.
    """
    if form not in streamed:
        try:
            return ensure_decoded(
                table,
                side=form.side,
                interpolation=form.interpolation,
                cache=cache,
                progress=progress,
                workers=workers,
            ).images
        except SearchError as error:
            if error.status is not Exit.STORAGE:
                raise
            note(f"{error.problems[0].fact}: images are decoded again in every epoch")
    return StreamedImages(table, form, workers=cores() if workers is None else workers)


class StreamedImages:
    """Decodes the rows that are asked for; like uint8 [N, S, S, C], as far as is needed.

    For one thread that asks. Not to be pickled.

    Args:
        table: The images, checked before.
        form: What they are decoded to.
        workers: Threads that decode, >= 1.
        most: Images at most that are being decoded or wait to be taken; None
            leaves it to their size.
    """

    def __init__(
        self, table: ImageTable, form: DecodedForm, *, workers: int, most: int | None = None
    ) -> None:
        self.shape = (len(table.rows), form.side, form.side, 3)
        self.ndim = len(self.shape)
        self.form = form
        self._table = table
        fitting = min(AHEAD_IMAGES, AHEAD_BYTES // (form.side * form.side * 3))
        self._most = max(workers + 1, fitting) if most is None else most
        self._decode = partial(checked_square, side=form.side, interpolation=form.interpolation)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._flying: dict[int, Future[npt.NDArray[np.uint8]]] = {}
        self._coming = np.empty(0, dtype=np.int64)
        """Rows in the order in which they will be asked for."""
        self._taken = 0
        """How many of them have been asked for."""
        self._started = 0
        """How many of them are decoded, or are being decoded."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def in_flight(self) -> int:
        """Images that are being decoded, or are decoded and were not taken yet."""
        return len(self._flying)

    def expect(self, rows: npt.NDArray[np.int64]) -> None:
        """Say which rows will be asked for, and in what order; replaces what was said.

        Decoding runs ahead of what is asked for as soon as the first of them is,
        not before: who finds features in a store asks for no image at all.

        Args:
            rows: [B]; one that comes again soon is decoded once.
        """
        self._forget(keep=())
        self._coming = rows

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """The decoded squares of some rows, [B, S, S, C]; a row may be named twice.

        Raises:
            SearchError: Exit.DATA, if an image is no longer what the table says.
        """
        found = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        asked = dict.fromkeys(rows.tolist())
        self._follow(asked, rows.tolist())
        waiting = deque(row for row in asked if row not in self._flying)
        for row in [*(row for row in asked if row in self._flying), *waiting]:
            if row not in self._flying and len(self._flying) >= self._most:
                self._flying.popitem()[1].cancel()  # what would be asked for last
            while waiting and len(self._flying) < self._most:
                self._start(waiting.popleft())
            found[rows == row] = self._take(row)
            while not waiting and self._started < len(self._coming):
                if len(self._flying) >= self._most:
                    break
                coming = int(self._coming[self._started])
                if coming not in self._flying:
                    self._start(coming)
                self._started += 1
        return found

    def _follow(self, asked: Collection[int], rows: list[int]) -> None:
        """Move on in what was expected, to where all of ``asked`` has come; forget it
        when something else is asked for. What is passed over is not wanted any more."""
        reach = self._coming[self._taken : self._taken + len(rows) + self._most].tolist()
        to_come, passed = set(asked), 0
        if sorted(reach[: len(rows)]) == sorted(rows):
            to_come, passed = set(), len(rows)
        while to_come and passed < len(reach):
            to_come.discard(reach[passed])
            passed += 1
        if to_come:
            self._forget(keep=asked)
            return
        self._taken += passed
        self._started = max(self._started, self._taken)
        for row in set(reach[:passed]).difference(asked):
            if row in self._flying and not self._comes_again(row):
                self._flying.pop(row).cancel()

    def _comes_again(self, row: int) -> bool:
        """Whether a row is expected once more, so soon that it would be decoded ahead."""
        return row in self._coming[self._taken : self._taken + self._most]

    def _start(self, row: int) -> None:
        image = self._table.rows[row]
        self._flying[row] = self._threads.submit(
            self._decode, self._table.absolute(image), image.sha256
        )

    def _take(self, row: int) -> npt.NDArray[np.uint8]:
        try:
            decoded = self._flying[row].result()
            if not self._comes_again(row):
                del self._flying[row]
            return decoded
        except BadImage as error:
            self._forget(keep=())
            fact = f"{self._table.rows[row].path}: {error.reason}"
            raise changed_images([Problem(fact=fact)]) from error

    def _forget(self, keep: Collection[int]) -> None:
        """Expect nothing, and drop what was started; what runs already runs to its end."""
        self._coming = np.empty(0, dtype=np.int64)
        self._taken = self._started = 0
        for row in [row for row in self._flying if row not in keep]:
            self._flying.pop(row).cancel()
