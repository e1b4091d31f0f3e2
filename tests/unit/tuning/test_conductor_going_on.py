"""Trials whose worker, node or run was lost go on, once, with what is known of them."""

from __future__ import annotations

import optuna

from search.study.records import FailReason, Outcome, State
from search.tuning.endings import Death
from search.tuning.events import EpochDone, Note, TrialStarted
from tests.unit.tuning.conducted import Run, spec

CRASH = Death(reason=FailReason.CRASHED, text="ActorDiedError: killed")


def test_an_epoch_read_again_by_a_new_worker_is_not_judged_again() -> None:
    run = Run(spec())
    run.ask("a")
    run.report("a", 1, 0.5)
    run.conductor.worker_died("a", CRASH)
    notes = run.said(Note)
    assert [note.text for note in notes if isinstance(note, Note)] == [
        "trial 0: its worker died after epoch 1"
    ]
    assert run.report("a", 1, 0.5) == "CONTINUE"
    assert len(run.said(EpochDone)) == 1


def test_what_a_worker_says_of_its_death_is_said_with_it() -> None:
    run = Run(spec())
    run.ask("a")
    said = "with 8 images at once; once more with 4 at once, same effective batch"
    run.conductor.worker_died("a", Death(reason=FailReason.OUT_OF_MEMORY, said=said))
    notes = [note.text for note in run.said(Note) if isinstance(note, Note)]
    assert notes == [f"trial 0: its worker ran out of memory after epoch 0 {said}"]


def test_a_worker_that_keeps_dying_is_a_crash() -> None:
    run = Run(spec())
    run.ask("a")
    for _ in range(3):
        run.conductor.worker_died("a", CRASH)
    run.conductor.gave_up("a")
    trial = run.view().trials[0]
    assert (trial.reason, trial.why) == (FailReason.CRASHED, "the worker died 3 times")
    assert trial.attributes["detail"] == "ActorDiedError: killed"


def test_going_on_judges_by_what_the_study_has_seen() -> None:
    storage = optuna.storages.InMemoryStorage()
    first = Run(spec(), storage)
    first.ask("a")
    first.ask("b")
    for epoch, value in ((1, 0.9), (2, 0.9), (3, 0.9)):
        first.report("a", epoch, value)
    second = Run(spec(), storage)  # the first was killed; b waits
    assert second.ask("c") == 1
    assert second.report("c", 1, 0.1) == "STOP"
    assert second.view().trials[1].why == ("rung 1: 0.100 < 0.900, the cutoff of 1 earlier trial")


def test_a_trial_cut_between_its_last_report_and_its_end_is_complete() -> None:
    storage = optuna.storages.InMemoryStorage()
    first = Run(spec(), storage)
    first.ask("a")
    for epoch in (1, 2, 3):
        first.recorder.report(0, epoch, epoch / 10, {})  # and then it was killed
    second = Run(spec(), storage)
    assert second.ask("b") == 1
    trial = second.view().trials[0]
    assert (trial.state, trial.best_value) == (State.COMPLETE, 0.3)


def test_a_trial_cut_between_its_stop_and_its_end_is_pruned_without_training_on() -> None:
    storage = optuna.storages.InMemoryStorage()
    first = Run(spec(), storage)
    first.ask("a")
    first.ask("b")
    first.report("a", 1, 0.9)

    def killed(number: int, outcome: Outcome) -> None:
        raise KeyboardInterrupt

    first.recorder.settle = killed  # type: ignore[method-assign]
    first.report("b", 1, 0.1)
    assert first.view().counts()[State.RUNNING] == 2
    second = Run(spec(), storage)
    assert [second.ask("c"), second.ask("d")] == [0, 2]
    assert [event.number for event in second.said(TrialStarted)] == [0, 2]  # type: ignore[attr-defined]
    trial = second.view().trials[1]
    assert (trial.state, trial.why) == (
        State.PRUNED,
        "rung 1: 0.100 < 0.900, the cutoff of 1 earlier trial",
    )


def test_a_trial_that_was_kept_and_cut_there_goes_on_whatever_came_after_it() -> None:
    storage = optuna.storages.InMemoryStorage()
    first = Run(spec(), storage)
    first.ask("a")
    first.ask("b")
    assert first.report("a", 1, 0.1) == "CONTINUE"  # the first to arrive
    assert first.report("b", 1, 0.9) == "CONTINUE"
    second = Run(spec(), storage)
    assert [second.ask("c"), second.ask("d")] == [0, 1]


def lose(run: Run, ray_id: str) -> None:
    for _ in range(3):
        run.conductor.worker_died(ray_id, Death(reason=FailReason.LOST_NODE, text="unreachable"))
    run.conductor.gave_up(ray_id)


def test_a_trial_whose_node_was_lost_waits_and_goes_on_elsewhere() -> None:
    run = Run(spec())
    run.ask("a")
    run.report("a", 1, 0.5)
    lose(run, "a")
    assert run.view().trials[0].state is State.WAITING
    assert run.ask("b") == 0
    assert run.report("b", 2, 0.6) == "CONTINUE"
    assert dict(run.view().trials[0].curve) == {1: 0.5, 2: 0.6}


def test_a_trial_that_loses_its_nodes_again_fails_as_that() -> None:
    run = Run(spec())
    run.ask("a")
    lose(run, "a")
    run.ask("b")
    lose(run, "b")
    trial = run.view().trials[0]
    assert (trial.reason, trial.why) == (FailReason.LOST_NODE, "the node was lost 3 times")
    assert trial.attributes["detail"] == "unreachable"


def test_the_last_death_is_the_reason_and_all_are_told() -> None:
    run = Run(spec())
    run.ask("a")
    run.conductor.worker_died("a", CRASH)
    for _ in range(2):
        run.conductor.worker_died("a", Death(reason=FailReason.OUT_OF_MEMORY))
    run.conductor.gave_up("a")
    trial = run.view().trials[0]
    assert (trial.reason, trial.why) == (
        FailReason.OUT_OF_MEMORY,
        "the worker died 1 time, the worker ran out of memory 2 times",
    )
