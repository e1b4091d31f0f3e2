"""Rungs, cut-offs and the simulated search."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.space.halving import cutoff, goes_on, rungs, simulate
from search.space.spec import Epochs


@pytest.mark.parametrize(
    ("low", "high", "factor", "expected"),
    [
        pytest.param(1, 27, 3, (1, 3, 9, 27), id="exact_power"),
        pytest.param(2, 20, 3, (2, 6, 18, 20), id="ends_at_max"),
        pytest.param(2, 18, 3, (2, 6, 18), id="issue"),
        pytest.param(5, 5, 3, (5,), id="one_rung"),
        pytest.param(4, 5, 3, (4, 5), id="min_just_below_max"),
        pytest.param(1, 100, 2, (1, 2, 4, 8, 16, 32, 64, 100), id="halves"),
    ],
)
def test_rungs_match_table(low: int, high: int, factor: int, expected: tuple[int, ...]) -> None:
    assert rungs(low, high, factor) == expected


@pytest.mark.slow
@given(low=st.integers(1, 50), more=st.integers(0, 500), factor=st.integers(2, 10))
def test_rungs_rise_from_min_to_max(low: int, more: int, factor: int) -> None:
    levels = rungs(low, low + more, factor)
    assert list(levels) == sorted(set(levels))
    assert (levels[0], levels[-1]) == (low, low + more)


def test_wrong_rungs_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="min_epochs=9, max_epochs=3"):
        rungs(9, 3, 3)
    with pytest.raises(ValueError, match="reduction_factor=1"):
        rungs(1, 3, 1)


@pytest.mark.parametrize(
    ("values", "factor", "maximize", "expected"),
    [
        pytest.param([], 3, True, None, id="first_arrival"),
        pytest.param([0.5], 3, True, 0.5, id="one_before"),
        # index (4 - 1) * 1/2 = 1.5: half-way from .2 to .3
        pytest.param([0.4, 0.1, 0.3, 0.2], 2, True, 0.25, id="interpolated"),
        # index (4 - 1) * 2/3 = 2: the third best of the negated, .2
        pytest.param([0.4, 0.1, 0.3, 0.2], 3, False, 0.2, id="minimize"),
        pytest.param([0.1, math.nan, 0.3], 2, True, 0.2, id="nan_is_not_counted"),
    ],
)
def test_cutoffs_match_table(
    values: list[float], factor: int, maximize: bool, expected: float | None
) -> None:
    assert cutoff(values, factor, maximize=maximize) == (
        None if expected is None else pytest.approx(expected)
    )


def test_first_arrivals_ties_and_nan_go_on() -> None:
    assert goes_on(0.0, [], 3, maximize=True)
    assert goes_on(0.5, [0.5, 0.5], 3, maximize=True)
    assert goes_on(math.nan, [0.5], 3, maximize=True)
    assert goes_on(0.1, [math.nan], 3, maximize=True)
    assert not goes_on(0.4, [0.5], 3, maximize=True)
    assert goes_on(0.4, [0.5], 3, maximize=False)


def test_a_simulated_search_is_what_rays_rule_gives() -> None:
    # Measured with Ray on stable rankings: about 330 epochs, where ranks would give 184.
    found = simulate(64, Epochs(min=1, max=27), 3, 1)
    assert found.rungs == (1, 3, 9, 27)
    assert found.trials[0] == 64
    assert 300 < found.epochs < 360
    assert found.complete == found.trials[-1]


def test_without_a_scheduler_every_trial_trains_to_the_end() -> None:
    found = simulate(8, Epochs(min=2, max=9), None, 2)
    assert (found.rungs, found.trials, found.epochs) == ((9,), (8,), 72)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "concurrency"), [(1, 1), (3, 8), (500, 16), (1_000_000, 64), (20, 10_000)]
)
def test_a_simulation_takes_less_than_half_a_second(trials: int, concurrency: int) -> None:
    start = time.process_time()
    found = simulate(trials, Epochs(min=1, max=100), 2, concurrency)
    assert time.process_time() - start < 0.5
    assert list(found.trials) == sorted(found.trials, reverse=True)
    assert found.trials[0] == trials
    assert trials <= found.epochs <= trials * 100


def test_the_same_search_is_simulated_each_time() -> None:
    assert simulate(40, Epochs(min=1, max=9), 3, 4) == simulate(40, Epochs(min=1, max=9), 3, 4)
