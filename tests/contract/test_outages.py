"""A PostgreSQL server that is killed in mid-work and comes back: real outages.

Judged by what the database holds against a log of what was said to be committed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
import sqlalchemy

from search.problems import Exit, SearchError
from search.space.domains import Branch, FloatRange, Param, Space
from search.space.spec import DataSpec, SamplerSpec, StudySpec
from search.study.behind import Behind
from search.study.opening import StudyFacts, open_in
from search.study.record import Recorder
from search.study.records import Outcome, State
from search.study.storage import connect
from tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.slow

SPEC = StudySpec(
    name="study",
    data=DataSpec(path="images"),
    space=Space(params=(Param(name="lr", branches=(Branch(domain=FloatRange(low=0.1, high=1)),)),)),
    sampler=SamplerSpec(name="random"),
)
FACTS = StudyFacts(
    fingerprint="f", counts={}, classes=("a", "b"), backbones=("small",), weights={}, versions={}
)
DONE = Outcome(state=State.COMPLETE, why="reached epoch 3, the last")
Told = list[tuple[str, int, int]]


@pytest.fixture
def url(server: Postgres) -> str:
    return server.new_database()


@pytest.fixture
def recorder(url: str) -> Iterator[Recorder]:
    opened = open_in(connect(url), SPEC, FACTS, url=url)
    yield opened
    opened.close()


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def epochs(url: str) -> list[tuple[int, int]]:
    """(trial number, epoch) of every report, as often as it is there."""
    query = "select number, step from trial_intermediate_values join trials using (trial_id)"
    return sorted(rows(url, query))


def states(url: str) -> dict[int, str]:
    return dict(rows(url, "select number, state::text from trials"))


def search(recorder: Recorder, behind: Behind, over: Callable[[], bool]) -> tuple[Told, Told]:
    """Trials of three epochs as a run makes them, until ``over``.

    Returns:
        What was decided, and what was said to be committed.
    """
    decided: Told = []
    said: Told = []

    def do(what: str, number: int, epoch: int, call: Callable[[], object]) -> None:
        decided.append((what, number, epoch))
        behind.put(call, partial(said.append, (what, number, epoch)))
        time.sleep(0.02)  # the training

    while not over():
        asked = behind.ask(recorder.ask).result(120)
        assert asked is not None
        for epoch in (1, 2, 3):
            do("report", asked.number, epoch, partial(recorder.report, asked.number, epoch, 1, {}))
        do("settle", asked.number, 3, partial(recorder.settle, asked.number, DONE))
    return decided, said


@pytest.mark.parametrize("seconds", [0.5, 5.0, pytest.param(20.0, marks=pytest.mark.thorough)])
def test_an_outage_loses_nothing_tells_nothing_twice_and_is_said(
    server: Postgres, url: str, recorder: Recorder, seconds: float
) -> None:
    notes: list[str] = []
    recorder.announce(notes.append)
    behind = Behind()
    over = threading.Event()

    def outage() -> None:
        time.sleep(1.0)
        with server.down(seconds):
            pass
        time.sleep(1.0)
        over.set()

    breaking = threading.Thread(target=outage)
    breaking.start()
    decided, said = search(recorder, behind, over.is_set)
    breaking.join()
    assert behind.drained(60)
    behind.close()
    assert behind.fault is None
    assert said == decided  # in the order of the decisions, each once
    trials = 1 + max(number for _, number, _ in decided)
    assert trials > 3
    assert epochs(url) == [(number, epoch) for number in range(trials) for epoch in (1, 2, 3)]
    assert states(url) == dict.fromkeys(range(trials), "COMPLETE")
    assert any(note.startswith("storage away ") for note in notes)
    assert notes[-1].startswith("storage is back after ")
    assert not [note for note in notes if PASSWORD in note]


@pytest.mark.parametrize("lost", ["begin", "before_commit", "after_commit"])
def test_a_server_killed_anywhere_in_a_call_loses_and_doubles_nothing(
    server: Postgres, url: str, recorder: Recorder, lost: str
) -> None:
    """``after_commit`` is the hard one: it landed, and nobody was told."""
    engine = recorder._storage.engine  # type: ignore[attr-defined]
    wanted = threading.Event()
    kills = 0

    def kill() -> None:
        nonlocal kills
        wanted.clear()
        kills += 1
        server.crash()
        server.start()

    def before_statement(*arguments: Any) -> None:
        if wanted.is_set() and lost == "begin":
            kill()

    def commit(connection: Any) -> None:
        if wanted.is_set() and lost != "begin":
            if lost == "after_commit":
                connection.connection.dbapi_connection.commit()
            kill()

    sqlalchemy.event.listen(engine, "before_cursor_execute", before_statement)
    sqlalchemy.event.listen(engine, "commit", commit)
    for number in range(2):
        wanted.set()
        asked = recorder.ask()
        assert asked is not None
        assert asked.number == number
        wanted.set()
        recorder.report(number, 1, 0.5, {})
        recorder.report(number, 2, 0.7, {})
        wanted.set()
        recorder.settle(number, DONE)
        wanted.set()
        recorder.add_seconds(1.0)
    assert kills == 8
    assert epochs(url) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert states(url) == {0: "COMPLETE", 1: "COMPLETE"}
    assert recorder.view().attributes["seconds"] == 2.0


def test_a_database_that_stays_away_ends_the_run_and_the_next_one_records_the_rest(
    server: Postgres, url: str
) -> None:
    storage = connect(url)
    open_in(storage, SPEC, FACTS, url=url)
    recorder = Recorder(storage, SPEC, url=url, patience=3.0)
    asked = recorder.ask()
    assert asked is not None
    behind = Behind()
    said: list[int] = []
    with server.down(8.0):
        for epoch in (1, 2):  # known to the trial's checkpoints
            report = partial(recorder.report, asked.number, epoch, epoch / 10, {})
            behind.put(report, partial(said.append, epoch))
        assert behind.drained(7)
    assert isinstance(behind.fault, SearchError)
    assert behind.fault.status is Exit.STORAGE
    assert f":***@127.0.0.1:{server.port}" in str(behind.fault)
    assert PASSWORD not in str(behind.fault)
    assert said == []
    assert epochs(url) == []
    recorder.close()
    again = open_in(connect(url), SPEC, FACTS, url=url)
    resumed = again.ask()
    assert resumed is not None
    assert (resumed.number, dict(resumed.point)) == (asked.number, dict(asked.point))
    for epoch in (1, 2):
        again.report(asked.number, epoch, epoch / 10, {})
    again.settle(asked.number, DONE)
    assert epochs(url) == [(0, 1), (0, 2)]
    assert states(url) == {0: "COMPLETE"}
    again.close()


def test_a_host_that_vanishes_is_noticed_within_half_a_minute(recorder: Recorder) -> None:
    """A server whose machine is gone closes no connection: the kernel has to look."""
    engine = recorder._storage.engine  # type: ignore[attr-defined]
    with engine.connect() as connection:
        options = connection.connection.dbapi_connection.info.get_parameters()
    idle, each, times = (
        int(options[f"keepalives_{name}"]) for name in ("idle", "interval", "count")
    )
    assert idle + each * times <= 30  # nothing was sent
    assert int(options["tcp_user_timeout"]) <= 30_000  # what was sent is not acknowledged
