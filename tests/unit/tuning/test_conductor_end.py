"""When a run is over, and what is still waited for then."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

from search.problems import Exit, SearchError, fail
from search.space.domains import Branch, Choice, Param, Space
from search.study.records import State
from search.tuning.events import EpochDone, Progress
from tests.unit.tuning.conducted import Run, spec


def test_no_more_trials_run_at_once_than_there_is_room_for() -> None:
    run = Run(spec(), concurrency=2)
    assert [run.ask(name) for name in "abc"] == [0, 1, None]
    assert not run.conductor.over


def test_the_budget_counts_settled_and_running_trials_of_all_runs() -> None:
    storage = optuna.storages.InMemoryStorage()
    first = Run(spec(trials=2), storage)
    first.ask("a")
    first.fail("a")
    second = Run(spec(trials=2), storage)
    assert second.ask("b") == 1
    assert second.ask("c") is None
    second.fail("b")
    assert second.conductor.over
    assert second.conductor.ended


def test_a_trial_cut_by_the_clock_waits_and_is_not_lost() -> None:
    run = Run(spec(minutes=1e-9))
    assert run.ask("a") is None
    run = Run(spec(minutes=10.0))
    run.ask("a")
    run.conductor._tally._earlier_seconds = 3600.0
    assert run.report("a", 1, 0.5) == "STOP"
    trial = run.view().trials[0]
    assert (trial.state, dict(trial.curve)) == (State.WAITING, {1: 0.5})
    assert run.conductor.ended


def test_a_study_ends_after_so_many_settled_trials_without_a_better_one() -> None:
    storage = optuna.storages.InMemoryStorage()
    run = Run(spec(trials=None, stop_after=2, epochs=1), storage, concurrency=1)
    for name, value in (("a", 0.5), ("b", 0.6), ("c", 0.6)):  # as good is not better
        run.ask(name)
        run.report(name, 1, value)
        assert not run.conductor.over
    assert run.ask("d") == 3
    run.fail("d")  # a failure is no better either
    assert run.conductor.over
    assert run.conductor.ended
    again = Run(spec(trials=None, stop_after=2, epochs=1), storage)
    assert again.ask("e") is None
    assert again.conductor.over
    longer = Run(spec(trials=None, stop_after=3, epochs=1), storage)
    assert longer.ask("e") == 4


def test_a_better_one_that_still_ran_lets_the_study_go_on() -> None:
    run = Run(spec(trials=None, stop_after=1, epochs=1), concurrency=3)
    assert [run.ask(name) for name in "abc"] == [0, 1, 2]
    run.report("a", 1, 0.5)
    run.report("b", 1, 0.4)
    assert run.ask("d") is None
    assert not run.conductor.over  # c still runs
    run.report("c", 1, 0.6)
    assert not run.conductor.over
    assert run.ask("d") == 3


def test_a_stop_waits_for_one_report_of_each_running_trial() -> None:
    run = Run(spec())
    run.ask("a")
    run.ask("b")
    run.conductor.stop()
    assert run.ask("c") is None
    assert not run.conductor.reported
    assert run.report("a", 1, 0.5) == "STOP"
    assert not run.conductor.ended
    assert run.report("b", 1, 0.6) == "STOP"
    assert run.conductor.ended
    assert run.view().counts()[State.WAITING] == 2


def test_trials_that_do_not_report_in_time_are_put_back() -> None:
    run = Run(spec())
    run.ask("a")
    run.conductor.stop()
    run.conductor.end()
    assert run.view().counts() == {
        State.WAITING: 1,
        State.RUNNING: 0,
        State.COMPLETE: 0,
        State.PRUNED: 0,
        State.FAILED: 0,
    }
    assert run.report("a", 1, 0.5) == "STOP"  # too late: not recorded
    assert dict(run.view().trials[0].curve) == {}


def test_five_failures_and_nothing_else_end_the_run() -> None:
    run = Run(spec(trials=20))
    for index in range(5):
        assert not run.conductor.too_many_failures
        run.ask(str(index))
        run.fail(str(index))
    assert run.conductor.too_many_failures
    assert run.conductor.over


def test_five_failures_after_a_success_do_not() -> None:
    run = Run(spec(trials=20, epochs=1))
    run.ask("good")
    run.report("good", 1, 0.5)
    for index in range(6):
        run.ask(str(index))
        run.fail(str(index))
    assert not run.conductor.over


def test_time_left_is_said_after_two_trials_and_shrinks_to_nothing() -> None:
    run = Run(spec(trials=3, epochs=1), concurrency=1)
    left: list[float | None] = []
    for name in "abc":
        run.ask(name)
        run.report(name, 1, 0.5)
        progress = run.said(Progress)[-1]
        assert isinstance(progress, Progress)
        left.append(progress.seconds_left)
    assert left[0] is None
    assert left[1] is not None
    assert left[1] > 0
    assert left[2] == pytest.approx(0.0)


def test_a_storage_that_fails_ends_the_run_and_is_named() -> None:
    run = Run(spec())
    run.ask("a")

    def away(number: int, epoch: int, value: float, attributes: object) -> None:
        raise fail("storage cannot be written", status=Exit.STORAGE)

    run.recorder.report = away  # type: ignore[method-assign]
    run.report("a", 1, 0.5)
    assert run.view().trials[0].state is State.RUNNING  # the next run goes on with it
    assert isinstance(run.conductor.fault, SearchError)
    assert run.conductor.fault.status is Exit.STORAGE
    assert run.conductor.unrecorded == 1
    assert run.conductor.ended
    assert run.report("a", 2, 0.6) == "STOP"
    assert run.said(EpochDone) == []
    run.conductor.end()
    assert run.conductor.written(20)


def test_a_finite_space_that_was_tried_whole_ends_the_run() -> None:
    space = Space(params=(Param(name="lr", branches=(Branch(domain=Choice(choices=(1e-3,))),)),))
    run = Run(replace(spec(trials=9, epochs=1), space=space))
    run.ask("a")
    run.report("a", 1, 0.5)
    assert run.ask("b") is None
    assert run.conductor.exhausted
    assert run.conductor.ended
    assert run.view().attributes["exhausted"] is True
