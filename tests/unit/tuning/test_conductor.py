"""What is decided during a run: real recorder, real ASHA, no Ray cluster."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import optuna
import pytest

from search.problems import Exit, SearchError, fail
from search.space.domains import Branch, Choice, FloatRange, Param, Space
from search.space.spec import Budget, DataSpec, Epochs, SamplerSpec, StudySpec
from search.study.opening import StudyFacts, open_in
from search.study.record import Recorder
from search.study.records import FailReason, Outcome, State, StudyView
from search.tuning.asha import Asha
from search.tuning.conductor import Conductor
from search.tuning.endings import Death
from search.tuning.events import EpochDone, Event, Note, Progress, TrialSettled, TrialStarted
from search.tuning.job import Told

CRASH = Death(reason=FailReason.CRASHED, text="ActorDiedError: killed")
FACTS = StudyFacts(
    fingerprint="f",
    counts={},
    classes=("a", "b"),
    backbones=("resnet18",),
    weights={},
    versions={},
)


def spec(
    *,
    trials: int | None = 4,
    minutes: float | None = None,
    stop_after: int | None = None,
    epochs: int = 3,
) -> StudySpec:
    domain = FloatRange(low=1e-3, high=1e-1, log=True)
    return StudySpec(
        name="s",
        data=DataSpec(path="images"),
        epochs=Epochs(min=1, max=epochs),
        space=Space(params=(Param(name="lr", branches=(Branch(domain=domain),)),)),
        sampler=SamplerSpec(name="random"),
        budget=Budget(trials=trials, minutes=minutes, stop_after=stop_after),
        default_first=False,
    )


@dataclass(frozen=True)
class RayTrial:
    trial_id: str


@dataclass
class Run:
    """A conductor with its recorder, and what it said."""

    spec: StudySpec
    storage: optuna.storages.InMemoryStorage = field(
        default_factory=optuna.storages.InMemoryStorage
    )
    concurrency: int = 2
    events: list[Event] = field(default_factory=list)
    also: Callable[[Event], None] = lambda event: None
    recorder: Recorder = field(init=False)
    conductor: Conductor = field(init=False)
    asha: Asha = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = open_in(self.storage, self.spec, FACTS)
        self.conductor = Conductor(
            spec=self.spec,
            recorder=self.recorder,
            listener=self.hear,
            concurrency=self.concurrency,
            on_settled=lambda view: None,
        )
        self.asha = Asha(
            metric="value",
            maximize=True,
            min_epochs=self.spec.epochs.min,
            max_epochs=self.spec.epochs.max,
            reduction_factor=3,
            on_report=self.conductor.on_report,
            on_death=self.conductor.worker_died,
        )
        self.conductor.recall(self.asha)

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self.also(event)

    def ask(self, ray_id: str) -> int | None:
        asked = self.conductor.next(ray_id, self.asha)
        if asked is None:
            return None
        self.asha.on_trial_add(None, RayTrial(ray_id))
        return asked.number

    def report(self, ray_id: str, epoch: int, value: float) -> str:
        told = Told(attributes={"metrics": {}})
        result = {"epoch": epoch, "value": value, "told": told}
        return self._committed(self.asha.on_trial_result(None, RayTrial(ray_id), result))

    def fail(self, ray_id: str, reason: FailReason = FailReason.ERROR) -> str:
        told = Told(
            attributes={}, failure=Outcome(state=State.FAILED, reason=reason, why="it broke")
        )
        result = {"value": math.nan, "told": told}
        return self._committed(self.asha.on_trial_result(None, RayTrial(ray_id), result))

    def _committed(self, answer: str) -> str:
        """The answer to a report, once the report is in the storage."""
        assert self.conductor.written(20)
        return answer

    def view(self) -> StudyView:
        self._committed("")
        return self.recorder.view()

    def said(self, kind: type[Event]) -> list[Event]:  # type: ignore[valid-type]
        self._committed("")
        return [event for event in self.events if isinstance(event, kind)]


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


def test_a_value_that_is_not_finite_is_a_failure_before_asha_sees_it() -> None:
    run = Run(spec())
    run.ask("a")
    assert run.report("a", 1, math.nan) == "STOP"
    trial = run.view().trials[0]
    assert (trial.state, trial.reason) == (State.FAILED, FailReason.DIVERGED)


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


def test_a_worker_that_keeps_dying_is_a_crash() -> None:
    run = Run(spec())
    run.ask("a")
    for _ in range(3):
        run.conductor.worker_died("a", CRASH)
    run.conductor.gave_up("a")
    trial = run.view().trials[0]
    assert (trial.reason, trial.why) == (FailReason.CRASHED, "the worker died 3 times")
    assert trial.attributes["detail"] == "ActorDiedError: killed"


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


def test_a_finite_space_that_was_tried_whole_ends_the_run() -> None:
    space = Space(params=(Param(name="lr", branches=(Branch(domain=Choice(choices=(1e-3,))),)),))
    run = Run(replace(spec(trials=9, epochs=1), space=space))
    run.ask("a")
    run.report("a", 1, 0.5)
    assert run.ask("b") is None
    assert run.conductor.exhausted
    assert run.conductor.ended
    assert run.view().attributes["exhausted"] is True


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
