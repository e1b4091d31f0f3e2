"""Arithmetic of asynchronous successive halving as Ray Tune does it. Pure.

A *rung* is an epoch at which trials are compared. Ray's rule is not a rank: a
trial stops when its value is below an interpolated percentile of the values
that arrived at the rung before it. First arrivals, ties and NaN go on.

Source: ray.tune.schedulers.async_hyperband (Ray 2.60); the idea is Li et al., "A
System for Massively Parallel Hyperparameter Tuning", MLSys 2020, Algorithm 2.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from search.space.spec import Epochs

MOST_SIMULATED = 50_000
"""Trials over all simulations; fewer searches are simulated beyond it."""
LARGEST_SIMULATED = 10_000
"""Trials of one simulated search; the figures of a larger one are scaled."""


def rungs(min_epochs: int, max_epochs: int, reduction_factor: int) -> tuple[int, ...]:
    """The epochs at which Ray's ASHA compares trials, and the last epoch.

    Args:
        min_epochs: First comparison, in epochs. Ray: grace_period.
        max_epochs: Full training length, in epochs. Ray: max_t.
        reduction_factor: Keep about the best 1/reduction_factor (>= 2).

    Returns:
        Strictly increasing, e.g. ``rungs(2, 20, 3) == (2, 6, 18, 20)``.

    Raises:
        ValueError: If ``1 <= min_epochs <= max_epochs`` does not hold, or
            ``reduction_factor < 2``.
    """
    if not 1 <= min_epochs <= max_epochs:
        raise ValueError(f"need 1 <= min_epochs <= max_epochs, got {min_epochs=}, {max_epochs=}")
    if reduction_factor < 2:
        raise ValueError(f"need reduction_factor >= 2, got {reduction_factor=}")
    # Ray's own floats: log(243) / log(3) is 4.999..., so rung 243 is missing there too.
    count = int(math.log(max_epochs / min_epochs) / math.log(reduction_factor) + 1)
    levels = [min_epochs * reduction_factor**index for index in range(count)]
    return (*(level for level in levels if level < max_epochs), max_epochs)


def cutoff(values: Sequence[float], reduction_factor: int, *, maximize: bool) -> float | None:
    """The value that a trial must reach at a rung to go on.

    Args:
        values: What earlier trials had at the rung, in any order; NaN is not counted.

    Returns:
        None when nothing was there before; NaN when only NaN was, which stops
        nothing. E.g. ``cutoff([.1, .2, .3, .4], 2, maximize=True) == .25``.
    """
    sign = 1.0 if maximize else -1.0
    ordered = sorted(sign * value for value in values if not math.isnan(value))
    if not ordered:
        return math.nan if values else None
    return sign * _percentile(ordered, reduction_factor)


def goes_on(
    value: float, earlier: Sequence[float], reduction_factor: int, *, maximize: bool
) -> bool:
    """Whether a trial with ``value`` at a rung that ``earlier`` reached goes on."""
    least = cutoff(earlier, reduction_factor, maximize=maximize)
    if least is None:
        return True
    return not (value < least if maximize else value > least)


def _percentile(ordered: Sequence[float], reduction_factor: int) -> float:
    """numpy.percentile(ordered, (1 - 1/reduction_factor) * 100), to the last bit."""
    index = (len(ordered) - 1) * ((1 - 1 / reduction_factor) * 100 / 100)
    lower = math.floor(index)
    upper = min(lower + 1, len(ordered) - 1)
    share = index - lower
    one, two = ordered[lower], ordered[upper]
    if share >= 0.5:
        return two - (two - one) * (1 - share)
    return one + (two - one) * share


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a search is expected to do: means over simulated searches."""

    rungs: tuple[int, ...]
    """Epochs; the last is a whole training."""
    trials: tuple[int, ...]
    """How many trials train that long, by rung."""
    epochs: int
    """Over all trials."""

    @property
    def complete(self) -> int:
        """How many trials train to the end."""
        return self.trials[-1]


def simulate(
    trials: int,
    epochs: Epochs,
    reduction_factor: int | None,
    concurrency: int,
    *,
    seeds: int = 200,
) -> Expected:
    """Simulate searches in which trials keep their rank from rung to rung.

    Args:
        trials: How many start, >= 1.
        epochs: The resource.
        reduction_factor: Of ASHA; None when nothing is stopped.
        concurrency: Trials at once, >= 1; all epochs take equally long.
        seeds: Searches simulated; fewer for very many trials, at least one.

    Returns:
        Rounded means, e.g. about 330 epochs for 64 trials of 1 to 27 epochs.
    """
    if reduction_factor is None:
        return Expected(rungs=(epochs.max,), trials=(trials,), epochs=trials * epochs.max)
    levels = rungs(epochs.min, epochs.max, reduction_factor)
    size = min(trials, LARGEST_SIMULATED)
    searches = max(1, min(seeds, MOST_SIMULATED // size))
    scale = trials / size / searches
    reached = [0] * len(levels)
    for seed in range(searches):
        for index, count in enumerate(_search(size, levels, reduction_factor, concurrency, seed)):
            reached[index] += count
    steps = [high - low for low, high in zip((0, *levels), levels, strict=False)]
    spent = sum(count * step for count, step in zip(reached, steps, strict=True))
    return Expected(
        rungs=levels,
        trials=tuple(round(count * scale) for count in reached),
        epochs=round(spent * scale),
    )


def _search(
    trials: int, levels: tuple[int, ...], reduction_factor: int, concurrency: int, seed: int
) -> list[int]:
    """How many trials of one search reach each level."""
    draw = random.Random(seed)
    arrived: list[list[float]] = [[] for _ in levels]
    # (epoch on the clock, trial, level, quality): who comes to which level next.
    running = [(levels[0], trial, 0, draw.random()) for trial in range(min(trials, concurrency))]
    started = len(running)
    heapify(running)
    while running:
        clock, trial, level, quality = heappop(running)
        earlier = arrived[level]
        last = level == len(levels) - 1
        stops = not last and bool(earlier) and quality < _percentile(earlier, reduction_factor)
        insort(earlier, quality)
        if not last and not stops:
            wait = levels[level + 1] - levels[level]
            heappush(running, (clock + wait, trial, level + 1, quality))
        elif started < trials:
            heappush(running, (clock + levels[0], started, 0, draw.random()))
            started += 1
    return [len(level) for level in arrived]
