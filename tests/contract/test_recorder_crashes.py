"""A recorder that is lost at any moment: what was shown stays, and is never repeated.

The machine drives a real recorder through random calls and crashes and compares
it with a plain model. The second test cuts one small search short before every
single SQL statement in turn and wants the same table in the end.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import optuna
import pytest
import sqlalchemy
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from optuna.storages import BaseStorage

from search.space.domains import Branch, Choice, Condition, FloatRange, IntRange, Param, Space
from search.space.spec import DataSpec, SamplerSpec, StudySpec
from search.study.opening import StudyFacts, open_in
from search.study.record import Recorder
from search.study.records import FailReason, Outcome, State, TrialView
from search.study.storage import connect
from search.study.transactions import closed
from tests.postgres import Postgres

pytestmark = pytest.mark.slow  # many short trainings: make test has the time

SPACE = Space(
    params=(
        Param(name="backbone", branches=(Branch(domain=Choice(choices=("small", "large"))),)),
        Param(name="unfreeze_depth", branches=(Branch(domain=IntRange(low=0, high=2)),)),
        Param(
            name="lr",
            branches=(
                Branch(
                    domain=FloatRange(low=1e-3, high=1.0, log=True),
                    when=(Condition(param="unfreeze_depth", min=1),),
                ),
            ),
        ),
    )
)
SPEC = StudySpec(
    name="study",
    seed=3,
    data=DataSpec(path="images"),
    space=SPACE,
    first=(
        (("backbone", "large"), ("unfreeze_depth", 0)),
        (("backbone", "small"), ("unfreeze_depth", 1), ("lr", 0.25)),
    ),
    sampler=SamplerSpec(name="tpe", startup_trials=3),
)
FACTS = StudyFacts(
    fingerprint="f", counts={}, classes=("a", "b"), backbones=("small",), weights={}, versions={}
)
OUTCOMES = {
    State.COMPLETE: Outcome(state=State.COMPLETE, why="last epoch"),
    State.PRUNED: Outcome(state=State.PRUNED, why="rung 1"),
    State.FAILED: Outcome(state=State.FAILED, why="gone", reason=FailReason.CRASHED),
}


class Machine(RuleBasedStateMachine):
    """Random calls on a recorder, with crashes, against a model of what was shown."""

    storage: BaseStorage

    def __init__(self) -> None:
        super().__init__()
        self.open_storage()
        self.curves: dict[int, dict[int, float]] = {}
        self.points: dict[int, dict[str, Any]] = {}
        self.states: dict[int, State] = {}
        self.final: dict[int, TrialView] = {}
        self.recorder: Recorder = open_in(self.storage, SPEC, FACTS)

    def open_storage(self) -> None:
        self.storage = optuna.storages.InMemoryStorage()

    def running(self) -> list[int]:
        return [number for number, state in self.states.items() if state is State.RUNNING]

    @rule()
    @precondition(lambda self: len(self.running()) < 4)
    def ask(self) -> None:
        asked = self.recorder.ask()
        assert asked is not None
        waiting = [number for number, state in self.states.items() if state is State.WAITING]
        assert asked.number == (min(waiting) if waiting else len(self.states))
        assert dict(asked.curve) == self.curves.setdefault(asked.number, {})
        assert dict(asked.point) == self.points.setdefault(asked.number, dict(asked.point))
        self.states[asked.number] = State.RUNNING

    @rule(data=st.data(), value=st.floats(-10, 10), skipped=st.integers(1, 3))
    @precondition(lambda self: self.running())
    def report(self, data: st.DataObject, value: float, skipped: int) -> None:
        number = data.draw(st.sampled_from(self.running()))
        curve = self.curves[number]
        epoch = max(curve, default=0) + skipped
        self.recorder.report(number, epoch, value, {"metrics": {"loss": value}})
        curve[epoch] = value

    @rule(data=st.data(), value=st.floats(-10, 10))
    @precondition(lambda self: any(self.curves.values()))
    def report_an_epoch_again(self, data: st.DataObject, value: float) -> None:
        number = data.draw(st.sampled_from([n for n, curve in self.curves.items() if curve]))
        self.recorder.report(
            number, data.draw(st.sampled_from(list(self.curves[number]))), value, {}
        )

    @rule(data=st.data(), state=st.sampled_from(list(OUTCOMES)))
    @precondition(lambda self: self.running())
    def settle(self, data: st.DataObject, state: State) -> None:
        number = data.draw(st.sampled_from(self.running()))
        if state is State.COMPLETE and not self.curves[number]:
            with pytest.raises(ValueError, match="without a value"):
                self.recorder.settle(number, OUTCOMES[state])
            return
        self.recorder.settle(number, OUTCOMES[state])
        self.states[number] = state
        self.final[number] = self.recorder.view().trials[number]

    @rule(data=st.data(), state=st.sampled_from(list(OUTCOMES)))
    @precondition(lambda self: self.final)
    def settle_again(self, data: st.DataObject, state: State) -> None:
        number = data.draw(st.sampled_from(list(self.final)))
        if state is self.states[number]:
            self.recorder.settle(number, OUTCOMES[state])
        else:
            with pytest.raises(ValueError, match="already"):
                self.recorder.settle(number, OUTCOMES[state])

    @rule(data=st.data())
    @precondition(lambda self: self.states)
    def interrupt(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(list(self.states)))
        self.recorder.interrupt(number)
        if self.states[number] is State.RUNNING:
            self.states[number] = State.WAITING

    @rule()
    def crash(self) -> None:
        self.recorder = open_in(self.storage, SPEC, FACTS)
        for number in self.running():
            self.states[number] = State.WAITING

    @invariant()
    def the_record_is_what_was_shown(self) -> None:
        trials = self.recorder.view().trials
        assert [trial.number for trial in trials] == list(range(len(self.states)))
        assert {trial.number: trial.state for trial in trials} == self.states
        assert {trial.number: dict(trial.curve) for trial in trials} == self.curves
        assert {trial.number: dict(trial.params) for trial in trials} == self.points
        assert {number: trials[number] for number in self.final} == self.final


class FileMachine(Machine):
    """The same over a SQLite file, opened anew after every crash."""

    def open_storage(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.storage = connect(self.url)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder.name}/studies.db"

    @rule()
    def crash(self) -> None:
        self.storage = connect(self.url)
        super().crash()

    def teardown(self) -> None:
        closed(self.storage)
        self.folder.cleanup()


class ServerMachine(FileMachine):
    """The same over PostgreSQL, a database to each example."""

    server: ClassVar[Postgres]

    def open_storage(self) -> None:
        self.database = self.server.new_database()
        self.storage = connect(self.url)

    @property
    def url(self) -> str:
        return self.database

    @rule()
    def crash(self) -> None:
        closed(self.storage)  # a dead process holds no connection
        super().crash()

    def teardown(self) -> None:
        closed(self.storage)


@pytest.mark.parametrize(
    ("machine", "examples"),
    [
        pytest.param(Machine, 25, id="memory"),
        pytest.param(FileMachine, 2, id="sqlite"),
        pytest.param(FileMachine, 12, id="sqlite_more", marks=pytest.mark.thorough),
        pytest.param(ServerMachine, 4, id="postgres", marks=pytest.mark.thorough),
    ],
)
def test_nothing_shown_is_lost_and_nothing_settled_changes(
    machine: type[Machine], examples: int, request: pytest.FixtureRequest
) -> None:
    if machine is ServerMachine:
        ServerMachine.server = request.getfixturevalue("server")
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Crash(BaseException):
    """The process ends here."""


def search(recorder: Recorder) -> None:
    """Five trials of two epochs, the rest of them where some are there; every
    value follows from the point, every outcome from the number."""
    states = [State.COMPLETE, State.COMPLETE, State.PRUNED, State.FAILED, State.COMPLETE]
    while recorder.view().counts()[State.WAITING] or len(recorder.view().trials) < len(states):
        asked = recorder.ask()
        assert asked is not None
        for epoch in (1, 2):
            value = float(asked.point.get("lr", 0.5)) / epoch
            recorder.report(asked.number, epoch, value, {"host": "h", "metrics": {"loss": value}})
        recorder.settle(asked.number, OUTCOMES[states[asked.number]])


def table(recorder: Recorder) -> list[tuple[Any, ...]]:
    return [
        (
            trial.number,
            trial.state,
            dict(trial.params),
            dict(trial.curve),
            trial.best_value,
            trial.best_epoch,
            trial.why,
            {
                name: value
                for name, value in trial.attributes.items()
                if name not in ("started", "ended", "seconds")
            },
        )
        for trial in recorder.view().trials
    ]


@pytest.mark.thorough  # make test has a part of it, by the real command (test_faults_short)
def test_a_crash_before_any_statement_leads_to_the_same_table(tmp_path: Path) -> None:
    whole = open_in(optuna.storages.InMemoryStorage(), SPEC, FACTS)
    search(whole)
    expected = table(whole)
    points = 0
    for nth in range(0, 2000, 11):
        url = f"sqlite:///{tmp_path}/cut{nth}.db"
        open_in(connect(url), SPEC, FACTS).close()
        storage = connect(url)
        recorder = open_in(storage, SPEC, FACTS)
        left = nth

        def cut(*_arguments: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        sqlalchemy.event.listen(storage.engine, "before_cursor_execute", cut)
        try:
            search(recorder)
        except Crash:
            points += 1
            storage.engine.dispose()
        else:
            break
        again = open_in(connect(url), SPEC, FACTS)
        search(again)
        assert table(again) == expected
        again.close()
    assert points > 20


def test_a_call_that_failed_can_be_made_again(tmp_path: Path) -> None:
    """A locked or full database: nothing half done, and the same call then works."""
    storage = connect(f"sqlite:///{tmp_path}/studies.db")
    recorder = open_in(storage, SPEC, FACTS)
    expected = open_in(optuna.storages.InMemoryStorage(), SPEC, FACTS)
    search(expected)
    broken = False

    def full(*arguments: Any) -> None:
        nonlocal broken
        if broken and str(arguments[2]).startswith(("INSERT", "UPDATE")):
            raise OSError(28, "No space left on device")

    sqlalchemy.event.listen(storage.engine, "before_cursor_execute", full)

    class Flaky:
        """Every call fails once, then is made again."""

        def __getattr__(self, name: str) -> Any:
            def call(*arguments: Any) -> Any:
                nonlocal broken
                if name in ("ask", "report", "settle"):
                    broken = True
                    with pytest.raises(Exception, match="No space left"):
                        getattr(recorder, name)(*arguments)
                    broken = False
                return getattr(recorder, name)(*arguments)

            return call

    search(Flaky())  # type: ignore[arg-type]
    assert table(recorder) == table(expected)
