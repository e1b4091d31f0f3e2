"""What is decided at a report: real recorder, real ASHA, no Ray cluster."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from search.study.records import FailReason, State
from search.tuning.events import EpochDone, Event, TrialSettled, TrialStarted
from tests.unit.tuning.conducted import Run, spec


def test_a_trial_that_reaches_the_last_epoch_is_complete_with_its_best() -> None:
    run = Run(spec())
    assert run.ask("a") == 0
    assert [run.report("a", epoch, value) for epoch, value in ((1, 0.5), (2, 0.9))] == [
        "CONTINUE",
        "CONTINUE",
    ]
    assert run.report("a", 3, 0.7) == "STOP"
    trial = run.view().trials[0]
    assert (trial.state, trial.best_value, trial.best_epoch) == (State.COMPLETE, 0.9, 2)


def test_a_trial_that_asha_stops_is_pruned_with_the_reason_that_was_shown() -> None:
    run = Run(spec())
    run.ask("a")
    run.ask("b")
    run.report("a", 1, 0.9)
    assert run.report("b", 1, 0.1) == "STOP"
    trial = run.view().trials[1]
    assert trial.state is State.PRUNED
    shown = run.said(EpochDone)[-1]
    assert isinstance(shown, EpochDone)
    assert trial.why == shown.why == "rung 1: 0.100 < 0.900, the cutoff of 1 earlier trial"


def test_what_is_shown_is_committed_already() -> None:
    seen: list[bool] = []
    run = Run(spec())

    def listen(event: Event) -> None:
        trials = {trial.number: trial for trial in run.recorder.view().trials}
        if isinstance(event, EpochDone):
            seen.append(trials[event.number].curve[event.epoch] == event.value)
        if isinstance(event, TrialSettled):
            seen.append(trials[event.number].state.settled)
        if isinstance(event, TrialStarted):
            seen.append(trials[event.number].state is State.RUNNING)

    run.also = listen
    run.ask("a")
    for epoch in (1, 2, 3):
        run.report("a", epoch, 0.5)
    assert seen == [True] * 5  # started, three epochs, settled


def test_a_value_that_is_not_finite_is_a_failure_before_asha_sees_it() -> None:
    run = Run(spec())
    run.ask("a")
    assert run.report("a", 1, math.nan) == "STOP"
    trial = run.view().trials[0]
    assert (trial.state, trial.reason) == (State.FAILED, FailReason.DIVERGED)


@pytest.mark.parametrize("kind", ["conductor", "searcher"])
def test_nothing_of_the_study_is_pickled_into_rays_files(kind: str) -> None:
    import pickle

    from search.tuning.searcher import StudySearcher

    run = Run(spec())
    held = {
        "conductor": run.conductor,
        "searcher": StudySearcher(run.conductor, run.asha, lambda number, point: None),  # type: ignore[arg-type, return-value]
    }[kind]
    assert b"sqlite" not in pickle.dumps(held)
    assert len(pickle.dumps(held)) < 200


def test_the_default_settings_are_trained_to_the_end_as_the_baseline() -> None:
    wanted = replace(spec(), first=((("lr", 1e-3),),), default_first=True)
    run = Run(wanted)
    assert run.ask("default") == 0
    assert run.ask("other") == 1
    run.report("other", 1, 0.9)
    assert run.report("default", 1, 0.1) == "CONTINUE"
    shown = run.said(EpochDone)[-1]
    assert isinstance(shown, EpochDone)
    assert "kept all the same: the default settings are the baseline" in shown.why
    assert run.report("default", 2, 0.1) == "CONTINUE"
    assert run.report("default", 3, 0.1) == "STOP"
    assert run.view().trials[0].state is State.COMPLETE
