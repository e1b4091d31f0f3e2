"""The learning rate over the steps of a trial, and the order of its images.

Pure arithmetic. The lr_schedule ends at the full training length whether or not
the trial is stopped before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from search.training.draws import permutation


def lr_factor(step: int, *, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step.

    Args:
        step: 0-based, < steps.
        steps: Of the full training length, >= 1.
        warmup: Share of all steps that rise, in [0, 1); rounded to whole steps.

    Returns:
        Rises linearly in the first w steps and reaches 1 at step w, then falls as
        a half cosine towards 0 at ``steps``, e.g. for 4 steps and no warm-up:
        1, .854, .5, .146.

    Raises:
        ValueError: If ``0 <= step < steps`` does not hold.
    """
    if not 0 <= step < steps:
        raise ValueError(f"need 0 <= step < steps, got {step=}, {steps=}")
    rising = min(round(warmup * steps), steps - 1)
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


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
