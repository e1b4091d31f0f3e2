"""The record is written behind the run: the same study, and nobody waits for it."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from optuna.storages import BaseStorage

from search.problems import Exit, SearchError, fail
from search.space.domains import Branch, FloatRange, Param, Space
from search.space.spec import Budget, DataSpec, Epochs, SamplerSpec, StudySpec
from search.study.behind import Behind
from search.study.opening import StudyFacts, open_in
from search.study.record import Recorder
from search.study.records import FailReason, Outcome, State
from search.study.storage import connect
from search.study.transactions import closed
from search.tuning.asha import Asha
from search.tuning.conductor import Conductor
from search.tuning.events import EpochDone, Event, TrialSettled
from search.tuning.job import Told

SPEC = StudySpec(
    name="study",
    seed=3,
    data=DataSpec(path="images"),
    epochs=Epochs(min=1, max=4),
    space=Space(params=(Param(name="lr", branches=(Branch(domain=FloatRange(low=0.1, high=1)),)),)),
    sampler=SamplerSpec(name="tpe", startup_trials=2),
    budget=Budget(trials=9),
)
FACTS = StudyFacts(
    fingerprint="f", counts={}, classes=("a", "b"), backbones=("small",), weights={}, versions={}
)
OUTCOMES = [
    Outcome(state=State.COMPLETE, why="last epoch"),
    Outcome(state=State.PRUNED, why="rung 1"),
    Outcome(state=State.FAILED, why="gone", reason=FailReason.CRASHED),
]

# (what, which of the running trials, a number) -------------------------------------
Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "report", "report", "report", "settle", "interrupt"]),
        st.integers(0, 3),
        st.integers(0, 2),
    ),
    max_size=25,
)
Do = Callable[[Callable[[], Any]], None]


def play(recorder: Recorder, steps: list[Step], do: Do, ask: Callable[[], Any]) -> None:
    """Make the calls of a run; ``do`` writes, ``ask`` gives the next trial."""
    running: dict[int, int] = {}
    for what, which, more in steps:
        if what == "ask" and len(running) < 4:
            asked = ask()
            running[asked.number] = max(asked.curve, default=0)
        elif running:
            number = sorted(running)[which % len(running)]
            if what == "report":
                running[number] += 1
                value = (number * 7 + running[number] * 3 + more) % 11 / 11
                do(partial(recorder.report, number, running[number], value, {"host": "h"}))
            elif what == "settle" and running[number]:
                do(partial(recorder.settle, number, OUTCOMES[more]))
                del running[number]
            elif what == "interrupt":
                do(partial(recorder.interrupt, number))
                del running[number]
        do(partial(recorder.add_seconds, 0.5))


def record(storage: BaseStorage) -> list[Any]:
    """All of a study but the clock, read anew."""
    view = Recorder(storage, SPEC).view()
    clock = ("started", "ended", "seconds")
    return [
        view.attributes["seconds"],
        *(
            (
                *(trial.number, trial.state, trial.params, trial.curve, trial.why, trial.reason),
                {name: part for name, part in trial.attributes.items() if name not in clock},
            )
            for trial in view.trials
        ),
    ]


def compare(made: Callable[[], BaseStorage], steps: list[Step]) -> None:
    straight, other = made(), made()
    recorder = open_in(straight, SPEC, FACTS)
    play(recorder, steps, lambda call: call(), recorder.ask)
    recorder = open_in(other, SPEC, FACTS)
    behind = Behind(most=3)
    play(recorder, steps, behind.put, lambda: behind.ask(recorder.ask).result(30))
    assert behind.drained(30)
    behind.close()
    assert record(other) == record(straight)
    for storage in (straight, other):
        closed(storage)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(STEPS)
def test_any_sequence_of_calls_leaves_the_same_study_as_without(steps: list[Step]) -> None:
    compare(optuna.storages.InMemoryStorage, steps)


@pytest.mark.slow
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(STEPS)
def test_any_sequence_of_calls_leaves_the_same_file_as_without(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = iter(("straight", "behind"))
        compare(lambda: connect(f"sqlite:///{folder}/{next(names)}.db"), steps)


@pytest.mark.slow
def test_whoever_puts_a_call_waits_only_where_too_many_wait() -> None:
    go, made = threading.Event(), list[int]()
    behind = Behind(most=2)
    behind.put(go.wait)
    for number in (1, 2):
        behind.put(partial(made.append, number))
    late = threading.Thread(target=behind.put, args=(partial(made.append, 3),))
    late.start()
    late.join(0.3)
    assert late.is_alive()  # one is being made, two wait: there is no room for a third
    assert not behind.drained(0)
    go.set()
    late.join(10)
    assert behind.drained(10)
    assert made == [1, 2, 3]
    behind.close()


def test_after_a_call_that_failed_none_is_made_and_nobody_waits() -> None:
    behind, made = Behind(most=1), list[int]()

    def broken() -> None:
        raise fail("storage cannot be written", status=Exit.STORAGE)

    behind.put(partial(made.append, 1), broken, partial(made.append, 2))
    for _ in range(5):
        behind.put(partial(made.append, 3))
    assert behind.drained(10)
    assert made == [1]
    assert isinstance(behind.fault, SearchError)
    with pytest.raises(TimeoutError):
        behind.ask(lambda: 4).result(0.1)


# With the conductor over a SQLite file that another program locks ------------------


@dataclass(frozen=True)
class RayTrial:
    trial_id: str


class Run:
    """A real conductor and ASHA over a real file; ``said`` is what was shown."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.recorder = open_in(connect(f"sqlite:///{file}"), SPEC, FACTS, url=f"sqlite:///{file}")
        self.said: list[Event] = []
        self.conductor = Conductor(
            spec=SPEC,
            recorder=self.recorder,
            listener=self.said.append,
            concurrency=2,
            on_settled=lambda view: None,
        )
        self.asha = Asha(
            metric="value",
            objective="balanced_accuracy",
            maximize=True,
            min_epochs=1,
            max_epochs=4,
            reduction_factor=3,
            on_report=self.conductor.on_report,
            on_death=self.conductor.worker_died,
        )

    def ask(self, ray_id: str) -> int | None:
        asked = self.conductor.next(ray_id, self.asha)
        if asked is None:
            return None
        self.asha.on_trial_add(None, RayTrial(ray_id))  # type: ignore[arg-type]
        return asked.number

    def report(self, ray_id: str, epoch: int, value: float) -> str:
        result = {"epoch": epoch, "value": value, "told": Told(attributes={})}
        return self.asha.on_trial_result(None, RayTrial(ray_id), result)  # type: ignore[arg-type]

    def shown(self, kind: type[Event]) -> int:  # type: ignore[valid-type]
        return sum(isinstance(event, kind) for event in self.said)

    def committed(self) -> int:
        """Epochs in the file, read past our own code."""
        with sqlite3.connect(f"file:{self.file}?mode=ro", uri=True) as connection:
            query = "select count(*) from trial_intermediate_values"
            return int(connection.execute(query).fetchone()[0])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = Run(tmp_path / "studies.db")
    yield started
    started.recorder.close()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program writes to the file."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


@pytest.mark.slow
def test_trials_go_on_while_the_storage_is_away_and_nothing_is_shown_before_it_is_there(
    run: Run,
) -> None:
    assert [run.ask("a"), run.ask("b")] == [0, 1]
    with locked(run.file):
        began = time.monotonic()
        answers = [run.report("a", epoch, 0.5) for epoch in (1, 2, 3, 4)]
        assert answers == ["CONTINUE"] * 3 + ["STOP"]
        assert run.report("b", 1, 0.9) == "CONTINUE"
        assert time.monotonic() - began < 1
        assert run.ask("c") is None  # not yet: the sampler has to know of a's end
        assert not run.conductor.over
        assert run.report("b", 2, 0.9) == "CONTINUE"
        time.sleep(0.5)
        assert run.committed() == run.shown(EpochDone) == run.shown(TrialSettled) == 0
        assert run.conductor.unrecorded == 6
    assert run.conductor.written(30)
    assert run.ask("d") == 2
    assert run.committed() == run.shown(EpochDone) == 6
    assert run.shown(TrialSettled) == 1
    assert run.conductor.unrecorded == 0


@pytest.mark.slow
def test_a_trial_that_was_asked_for_in_vain_waits(run: Run) -> None:
    assert run.ask("a") == 0
    with locked(run.file):
        assert run.ask("b") is None
        run.conductor.stop()
        assert run.ask("c") is None
        assert run.conductor.over
        run.conductor.end()
    assert run.conductor.written(30)
    states = {trial.number: trial.state for trial in run.recorder.view().trials}
    assert states == {0: State.WAITING, 1: State.WAITING}
    assert run.report("a", 1, 0.5) == "STOP"  # too late
    assert run.committed() == 0
