"""The learning rate over the steps of a trial, and the order of its images.

Pure arithmetic. The lr_schedule ends at the full training length whether or not
the trial is stopped before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from search.training.draws import permutation

ONE_CYCLE_START = 1 / 25
"""Share of the peak at which one_cycle begins."""
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
"""Share of the peak at which it ends, at the last step."""


class RateOverTime(Protocol):
    """What of a trial decides how its rate moves (``config.TrialConfig``)."""

    @property
    def lr_schedule(self) -> str: ...

    @property
    def warmup(self) -> float: ...

    @property
    def step_epochs(self) -> int: ...

    @property
    def step_factor(self) -> float: ...

    @property
    def epochs(self) -> int: ...


def lr_factor(config: RateOverTime, step: int, *, steps_in_epoch: int) -> float:
    """Share of the peak learning rate at a step of a trial.

    Args:
        config: The trial. Its ``warmup`` is the share of all steps that rise, in
            [0, 1), rounded to w whole steps, so that one is left at least.
        step: 0-based, < ``steps_in_epoch * config.epochs``, which is n.
        steps_in_epoch: >= 1.

    Returns:
        In [0, 1]. Rises linearly in the first w steps and is 1 at step w; then
        ``cosine`` is a half cosine and ``linear`` a line, both 0 at step n, which is
        none of the trial's; ``constant`` stays; ``step`` is multiplied by
        ``step_factor`` at the beginning of every epoch whose number is a multiple of
        ``step_epochs``, counted from 0, those of the warm-up left out. ``one_cycle``
        is a half cosine from 1/25 up to 1 at step w, then one down to 1/250000 at the
        last step. E.g. cosine, for 4 steps and no warm-up: 1, .854, .5, .146.

    Raises:
        ValueError: If ``step`` is none of the trial's, or there is no such schedule.

    Source: Smith and Topin, "Super-Convergence", 2018 (one_cycle). Deviations, as in
    fastai and torch: half cosines instead of lines, no third phase; the momentum is
    not cycled.
    """
    steps = config.epochs * steps_in_epoch
    if not 0 <= step < steps:
        raise ValueError(f"need 0 <= step < steps, got {step=}, {steps=}")
    rising = min(round(config.warmup * steps), steps - 1)
    kind = config.lr_schedule
    if kind == "one_cycle":
        return _one_cycle(step, rising, steps - 1)
    if step < rising:
        return (step + 1) / (rising + 1)
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
    if kind == "linear":
        return (steps - step) / (steps - rising)
    if kind == "step":
        every = fall_every(config) * steps_in_epoch
        return config.step_factor ** (step // every - rising // every)
    if kind == "constant":
        return 1.0
    raise ValueError(f"no such lr_schedule: {kind}")


def fall_every(config: RateOverTime) -> int:
    """Epochs from one fall of the ``step`` schedule to the next, >= 1."""
    return config.step_epochs or -(-config.epochs // 3)


def _one_cycle(step: int, peak: int, last: int) -> float:
    if step < peak:
        return _half_cosine(ONE_CYCLE_START, 1.0, step / peak)
    if step == peak:
        return 1.0
    return _half_cosine(1.0, ONE_CYCLE_END, (step - peak) / (last - peak))


def _half_cosine(start: float, end: float, done: float) -> float:
    """From ``start`` to ``end`` while ``done`` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """How many batches :func:`batches` gives."""
    alone = batch_size > 1 and images > batch_size and images % batch_size == 1
    return -(-images // batch_size) - alone


def epoch_order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    """The images' order in an epoch, from (seed, epoch) alone."""
    return permutation(seed, epoch, images)


def batches(images: int, batch_size: int) -> Iterator[slice]:
    """Consecutive slices that cover ``images``; the last may be smaller.

    A single image left over joins the batch before it: batch-norm cannot train
    on one value. E.g. 9 images in fours: 0-4, 4-9.
    """
    count = steps_per_epoch(images, batch_size)
    for number in range(count):
        stop = images if number == count - 1 else (number + 1) * batch_size
        yield slice(number * batch_size, stop)
