"""Our arithmetic of rungs and cut-offs decides as Ray Tune's scheduler does."""

from __future__ import annotations

import math
from random import Random
from types import SimpleNamespace

import pytest

from search.space.halving import cutoff, goes_on, rungs

pytestmark = pytest.mark.slow  # importing ray.tune takes seconds


def test_rungs_are_those_of_rays_bracket() -> None:
    from ray.tune.schedulers.async_hyperband import _Bracket

    compared = 0
    for low in range(1, 13):
        for high in range(low, 260):
            for factor in (2, 3, 4, 5):
                bracket = _Bracket(low, high, factor, 0)
                theirs = sorted(level for level, _ in bracket._rungs if level < high)
                assert rungs(low, high, factor) == (*theirs, high), (low, high, factor)
                compared += 1
    assert compared == 4 * sum(260 - low for low in range(1, 13))


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_every_decision_of_a_search_is_rays(mode: str, factor: int) -> None:
    from ray.tune.schedulers import ASHAScheduler, TrialScheduler

    maximize = mode == "max"
    for seed in range(20):
        draw = Random(seed)
        levels = rungs(1 + seed % 3, 40, factor)
        theirs = ASHAScheduler(
            metric="value",
            mode=mode,
            max_t=40,
            grace_period=1 + seed % 3,
            reduction_factor=factor,
        )
        arrived: dict[int, list[float]] = {level: [] for level in levels}
        running = []
        for number in range(30):
            trial = SimpleNamespace(trial_id=str(number))
            theirs.on_trial_add(None, trial)
            running.append((trial, 0))
        while running:
            trial, epoch = running.pop(draw.randrange(len(running)))
            epoch += 1
            # Coarse, so that ties come; a NaN now and then.
            value = math.nan if draw.random() < 0.03 else round(draw.random(), 1)
            theirs_goes_on = (
                theirs.on_trial_result(None, trial, {"training_iteration": epoch, "value": value})
                == TrialScheduler.CONTINUE
            )
            ours_goes_on = epoch < levels[-1]
            if epoch in arrived and epoch < levels[-1]:
                ours_goes_on = goes_on(value, arrived[epoch], factor, maximize=maximize)
                arrived[epoch].append(value)
            assert ours_goes_on == theirs_goes_on
            if ours_goes_on:
                running.append((trial, epoch))


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 7, 10])
def test_a_cutoff_is_rays_to_the_last_bit(factor: int) -> None:
    from ray.tune.schedulers.async_hyperband import _Bracket

    draw = Random(factor)
    bracket = _Bracket(1, 10, factor, 0)
    for count in range(1, 80):
        values = [draw.random() for _ in range(count)]
        theirs = float(bracket.cutoff(dict(enumerate(values))))
        assert cutoff(values, factor, maximize=True) == theirs
        negated = dict(enumerate([-value for value in values]))
        assert cutoff(values, factor, maximize=False) == -float(bracket.cutoff(negated))
