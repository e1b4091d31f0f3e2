"""A storage that is away for a while: nothing is lost, nothing is there twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from search.problems import Exit, SearchError
from search.space.domains import Branch, FloatRange, Param, Space
from search.space.spec import DataSpec, SamplerSpec, StudySpec
from search.study.opening import StudyFacts, open_in
from search.study.record import Recorder
from search.study.records import Asked, Outcome, State
from search.study.storage import StorageAway, connect
from search.study.views import view

pytestmark = pytest.mark.slow  # they wait for a storage that is away

SPEC = StudySpec(
    name="study",
    data=DataSpec(path="images"),
    space=Space(params=(Param(name="lr", branches=(Branch(domain=FloatRange(low=0.1, high=1)),)),)),
    sampler=SamplerSpec(name="random"),
)
FACTS = StudyFacts(
    fingerprint="f", counts={}, classes=("a", "b"), backbones=("small",), weights={}, versions={}
)
DONE = Outcome(state=State.COMPLETE, why="reached epoch 2, the last")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


@pytest.fixture
def recorder(file: Path) -> Iterator[Recorder]:
    opened = open_in(connect(f"sqlite:///{file}"), SPEC, FACTS, url=f"sqlite:///{file}")
    yield opened
    opened.close()


@contextmanager
def locked(file: Path, seconds: float) -> Iterator[None]:
    """Another program writes to the file for so long."""
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(seconds, connection.rollback)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        connection.close()


def one_trial(recorder: Recorder, around: Callable[[str], Any]) -> Asked:
    """Ask, report twice and settle, each inside of what ``around`` gives."""
    with around("ask"):
        asked = recorder.ask()
    assert asked is not None
    with around("report"):
        recorder.report(asked.number, 1, 0.5, {})
    recorder.report(asked.number, 2, 0.7, {})
    with around("settle"):
        recorder.settle(asked.number, DONE)
    return asked


def test_a_lock_of_three_seconds_is_waited_for_and_said(file: Path, recorder: Recorder) -> None:
    said: list[str] = []
    recorder.announce(said.append)
    one_trial(recorder, lambda _call: locked(file, 3.0))
    trials = view(f"sqlite:///{file}").trials
    assert [(each.number, each.state, dict(each.curve)) for each in trials] == [
        (0, State.COMPLETE, {1: 0.5, 2: 0.7})
    ]
    away = [line for line in said if line.startswith("storage away 2 s, trying again: ")]
    assert len(away) == 3
    assert all("database is locked" in line for line in away)
    assert said.count("storage is back after 3 s") == 3


@pytest.mark.parametrize("lost", ["begin", "before_commit", "after_commit"])
def test_a_connection_lost_anywhere_in_a_call_loses_and_doubles_nothing(
    recorder: Recorder, file: Path, lost: str
) -> None:
    """``after_commit`` is the hard one: it landed, and nobody was told."""
    engine = recorder._storage.engine  # type: ignore[attr-defined]
    gone: list[str] = []
    left = 0

    def drop() -> None:
        nonlocal left
        if left:
            left -= 1
            gone.append(lost)
            raise sqlalchemy.exc.OperationalError("", {}, Exception("server closed the connection"))

    def before_statement(*arguments: Any) -> None:
        if lost == "begin" and str(arguments[2]).startswith("BEGIN"):
            drop()

    def commit(connection: Any) -> None:
        if lost == "after_commit":
            connection.connection.dbapi_connection.commit()
        if lost != "begin" and connection.connection.dbapi_connection.total_changes > before:
            drop()

    sqlalchemy.event.listen(engine, "before_cursor_execute", before_statement)
    sqlalchemy.event.listen(engine, "commit", commit)
    before = -1

    @contextmanager
    def twice(_call: str) -> Iterator[None]:
        nonlocal left
        left = 2
        yield
        assert left == 0, "it was never away"

    for number in range(2):
        assert one_trial(recorder, twice).number == number
    assert len(gone) == 12  # 2 trials, 3 calls each, 2 times away
    trials = view(f"sqlite:///{file}").trials
    assert [(each.number, each.state, dict(each.curve)) for each in trials] == [
        (number, State.COMPLETE, {1: 0.5, 2: 0.7}) for number in range(2)
    ]


def test_a_storage_that_stays_away_ends_the_call_in_time_with_its_name(file: Path) -> None:
    storage = connect(f"sqlite:///{file}")
    open_in(storage, SPEC, FACTS)
    recorder = Recorder(storage, SPEC, url=f"sqlite:///{file}", patience=3.0)
    began = time.monotonic()
    with locked(file, 8.0):
        with pytest.raises(SearchError) as caught:
            recorder.ask()
        assert time.monotonic() - began < 6
    assert caught.value.status is Exit.STORAGE
    assert str(file) in str(caught.value)
    asked = recorder.ask()  # and the next call works
    assert asked is not None
    assert asked.number == 0
    recorder.close()


def test_a_run_that_is_to_end_does_not_wait(file: Path, recorder: Recorder) -> None:
    with locked(file, 8.0):
        threading.Timer(0.5, recorder.hurry).start()
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(StorageAway):
                recorder.ask()
        assert time.monotonic() - began < 7  # two tries of the first call, one of the second


def test_a_full_disk_is_not_waited_for(recorder: Recorder) -> None:
    def full(*arguments: Any) -> None:
        if str(arguments[2]).startswith("INSERT"):
            raise OSError(28, "No space left on device")

    sqlalchemy.event.listen(recorder._storage.engine, "before_cursor_execute", full)  # type: ignore[attr-defined]
    began = time.monotonic()
    with pytest.raises(
        SearchError, match=r"studies\.db cannot be written: its disk is full, \d+ bytes"
    ):
        recorder.ask()
    assert time.monotonic() - began < 2
