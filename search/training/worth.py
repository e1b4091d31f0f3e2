"""Whether storing a boundary pays, measured where it would be stored.

Reading must be cheaper than computing, and all views must fit the budget beside
those of the boundaries nearer to the head, which are smaller and read by more
trials. Where they do not all fit, the first ones are stored and the others
computed: evicting one view for the next would leave none to be read.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from search.training.inputs import EVALUATION
from search.training.rows import from_rows
from search.training.segments import RowForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How much there is to store, of one family, for one study."""

    family: str
    name: str
    """For messages."""
    device: torch.device
    train: int
    """Images; each in every view."""
    val: int
    """Images; each in one view."""
    views: int
    budget: int
    """Bytes."""

    def key(self) -> tuple[str, int, int, int, int]:
        """What a verdict depends on besides the boundary."""
        return self.family, self.train, self.val, self.views, self.budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The first features of a boundary, and what they cost."""

    boundary: int
    start: int
    """Boundary that they were computed from."""
    rows: NDArray[Any]
    """[N, *form.shape]"""
    form: RowForm
    seconds: float
    """To compute them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    evaluation: bool
    """Whether the evaluation view is stored."""
    views: int
    """How many augmented views are stored."""
    bytes: int
    """What they take."""

    def takes(self, number: int) -> bool:
        """Whether a view is stored."""
        return self.evaluation if number == EVALUATION else number < self.views


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict for people to look up."""

    text: str
    """Of what, what was measured, what follows."""
    stored: bool
    """Whether any view is stored."""


class Worth:
    """The verdicts of one process. Reaching one takes :attr:`SECONDS` at most twice:
    of computing, whose result is used, and of writing and reading.

    Args:
        storing: (sample, device, folder) -> seconds to store an image's features
            and to read them, where that is known; None measures it.
    """

    SECONDS: ClassVar[float] = 2.0

    def __init__(
        self, storing: Callable[[Sample, torch.device, Path], float] | None = None
    ) -> None:
        self._storing = storing
        self._verdicts: dict[tuple[tuple[str, int, int, int, int], int], _Verdict] = {}
        self._decisions: list[Decision] = []

    def decisions(self) -> tuple[Decision, ...]:
        """The verdicts that were reached since this was last asked."""
        new, self._decisions = tuple(self._decisions), []
        return new

    def knows(self, need: Need, boundary: int) -> bool:
        """Whether nothing needs to be measured."""
        return (need.key(), boundary) in self._verdicts

    def refuses(self, need: Need, boundary: int, number: int) -> bool:
        """Whether it is known that a view is not to be stored at a boundary."""
        verdict = self._verdicts.get((need.key(), boundary))
        return verdict is not None and not verdict.takes(number)

    def stores(self, need: Need, sample: Sample, number: int, folder: Path) -> bool:
        """Whether a view is to be stored at a boundary.

        Args:
            need: How much there is.
            sample: Features of the boundary.
            number: The view.
            folder: On the disk that would hold it.

        Raises:
            OSError: If the folder does not take a file.
        """
        key = (need.key(), sample.boundary)
        if key not in self._verdicts:
            self._verdicts[key] = self._judge(need, sample, folder)
        return self._verdicts[key].takes(number)

    def _judge(self, need: Need, sample: Sample, folder: Path) -> _Verdict:
        computing = sample.seconds / len(sample.rows)
        if self._storing is not None:
            storing = self._storing(sample, need.device, folder)
        else:
            storing = store_and_read(sample, need.device, folder, at_most=self.SECONDS / 100)
        smaller = sum(
            verdict.bytes
            for (key, boundary), verdict in self._verdicts.items()
            if key == need.key() and boundary > sample.boundary
        )
        room = max(0, need.budget - smaller)
        row = sample.form.bytes
        evaluation = storing < computing and need.val * row <= room
        views = 0
        if evaluation:
            views = min(need.views, (room - need.val * row) // (need.train * row))
        text = (
            f"{need.name}, behind block {sample.boundary} of 5: computing takes "
            f"{1e3 * computing:.2f} ms an image, storing and reading {1e3 * storing:.2f} ms and "
            f"{row / 1024:.0f} KB: {_words(evaluation, views, need.views)}"
        )
        self._decisions.append(Decision(text=text, stored=evaluation))
        return _Verdict(
            evaluation=evaluation,
            views=views,
            bytes=(views * need.train + need.val) * row if evaluation else 0,
        )


def store_and_read(sample: Sample, device: torch.device, folder: Path, *, at_most: float) -> float:
    """Seconds to write an image's features once and to read them once.

    Raises:
        OSError: If the folder does not take a file.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        sample.rows.tofile(file)
        file.flush()
        writing = time.perf_counter() - began
        mapped = np.memmap(file, dtype=sample.form.dtype, mode="r", shape=sample.rows.shape)
        order = np.arange(len(mapped))[::-1]
        times = 0
        began = time.perf_counter()
        while times == 0 or time.perf_counter() - began < at_most:
            from_rows(mapped[order], sample.form, device)
            times += 1
        reading = (time.perf_counter() - began) / times
    return (writing + reading) / len(sample.rows)


def _words(evaluation: bool, views: int, wanted: int) -> str:
    if not evaluation:
        return "computed each time"
    if views < wanted:
        return f"stored for {views} of {wanted} views, as many as there is room for"
    return "stored"
