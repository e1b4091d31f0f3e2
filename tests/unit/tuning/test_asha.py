"""ASHA: Ray's own decisions, with the reason and the memory that Ray lacks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("ray.tune")
from ray.tune.schedulers import ASHAScheduler

from search.tuning.asha import Asha


@dataclass(frozen=True)
class RayTrial:
    """The only thing of Ray's trial that its ASHA reads."""

    trial_id: str


def asha(*, maximize: bool = True, stops: bool = True) -> Asha:
    return Asha(
        metric="value",
        objective="balanced_accuracy",
        maximize=maximize,
        min_epochs=1,
        max_epochs=9,
        reduction_factor=3,
        stops=stops,
        on_report=lambda scheduler, trial, result: True,
        on_death=lambda trial_id, detail: None,
    )


def add(scheduler: ASHAScheduler, name: str) -> RayTrial:
    trial = RayTrial(name)
    scheduler.on_trial_add(None, trial)
    return trial


def test_the_first_to_arrive_goes_on_and_is_told_so() -> None:
    scheduler = asha()
    verdict = scheduler.judge(add(scheduler, "a"), 1, 0.1)
    assert verdict.keeps
    assert verdict.why == "rung 1: the first to arrive"


def test_a_stop_names_value_cutoff_and_how_many_were_compared() -> None:
    scheduler = asha()
    scheduler.judge(add(scheduler, "a"), 1, 0.6)
    scheduler.judge(add(scheduler, "b"), 1, 0.9)
    verdict = scheduler.judge(add(scheduler, "c"), 1, 0.5)
    assert not verdict.keeps
    # two thirds of the way from .6 to .9
    assert verdict.why == "rung 1: 0.500 < 0.800, the cutoff of 2 earlier trials"


def test_a_loss_is_compared_the_other_way_round() -> None:
    scheduler = asha(maximize=False)
    scheduler.judge(add(scheduler, "a"), 1, 0.6)
    verdict = scheduler.judge(add(scheduler, "b"), 1, 0.7)
    assert verdict.why == "rung 1: 0.700 > 0.600, the cutoff of 1 earlier trial"


def test_the_last_epoch_is_finished_not_stopped_short() -> None:
    scheduler = asha()
    verdict = scheduler.judge(add(scheduler, "a"), 9, 0.1)
    assert verdict.finished
    assert not verdict.keeps


def test_without_a_scheduler_nothing_is_stopped_before_the_last_epoch() -> None:
    scheduler = asha(stops=False)
    for name in "abcdef":
        trial = add(scheduler, name)
        for epoch in range(1, 9):
            assert scheduler.judge(trial, epoch, 1.0 / (ord(name) * epoch)).keeps


@pytest.mark.slow
@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    maximize=st.booleans(),
    split=st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_decisions_are_rays_and_survive_a_restart(
    values: list[float], maximize: bool, split: int
) -> None:
    stock = ASHAScheduler(
        time_attr="epoch",
        metric="value",
        mode="max" if maximize else "min",
        max_t=9,
        grace_period=1,
        reduction_factor=3,
    )
    ours = asha(maximize=maximize)
    seen: list[float] = []
    for index, value in enumerate(values):
        if index == split:  # the driver was killed here; a new one goes on
            ours = asha(maximize=maximize)
            for earlier, curve in enumerate(seen):
                ours.remember(f"number-{earlier}", {1: curve})
        name = f"t{index}"
        expected = stock.on_trial_result(None, add(stock, name), {"epoch": 1, "value": value})
        verdict = ours.judge(add(ours, name), 1, value)
        assert verdict.keeps == (expected == stock.CONTINUE)
        seen.append(value)


def test_a_trial_that_goes_on_is_judged_at_its_next_rung_not_at_one_it_passed() -> None:
    scheduler = asha()
    scheduler.remember("number-0", {1: 0.9, 2: 0.9, 3: 0.9})
    scheduler.remember("number-1", {1: 0.5, 2: 0.2})
    scheduler.forget("number-1")
    trial = add(scheduler, "again")
    scheduler.remember("again", {1: 0.5, 2: 0.2})
    verdict = scheduler.judge(trial, 3, 0.95)
    assert verdict.keeps
    assert verdict.why == "rung 2: 0.950 >= 0.900, the cutoff of 1 earlier trial"
