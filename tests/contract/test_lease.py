"""One driver per study, by real processes: who is refused, when it is free again,
and that a driver which lost its lease writes nothing more.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.problems import Exit, SearchError
from search.study.holder import find_holder
from search.study.lease import Lease, ask_to_stop
from search.study.records import State
from search.study.storage import sqlite_file
from search.study.views import list_studies, view

_DRIVER = textwrap.dedent(
    """
    import sys
    from search.problems import SearchError
    from search.space.domains import Branch, FloatRange, Param, Space
    from search.space.spec import DataSpec, SamplerSpec, StudySpec
    from search.study.lease import Lease
    url, name, renews, lasts = sys.argv[1:]
    def say(text):  # two threads do: a line is one write
        sys.stdout.write(f"{text}\\n")
        sys.stdout.flush()
    lease = Lease(url, name, on_end=lambda: say(f"end {lease.stop or lease.lost}"),
                  renews=float(renews), lasts=float(lasts))
    recorder = None
    def do(what):
        global recorder
        if what == "take":
            lease.__enter__()
        elif what == "leave":
            lease.__exit__(None, None, None)
        elif what == "open":
            from search.study.opening import StudyFacts, open_study
            lr = Param(name="lr", branches=(Branch(domain=FloatRange(low=0.1, high=1.0)),))
            spec = StudySpec(name=name, data=DataSpec(path="images"), space=Space(params=(lr,)),
                             sampler=SamplerSpec(name="random"))
            facts = StudyFacts(fingerprint="f", counts={}, classes=(), backbones=(), weights={},
                               versions={})
            recorder = open_study(url, spec, facts, lease=lease)
        elif what == "ask":
            return recorder.ask().number
        elif what == "report":
            recorder.report(0, len(recorder.view().trials[0].curve) + 1, 0.5, {})
        elif what == "interrupt":
            recorder.interrupt(0)
    say("ready")
    for line in sys.stdin:
        try:
            answer = do(line.strip())
            say("done" if answer is None else f"done {answer}")
        except SearchError as error:
            say(f"refused {int(error.status)} {error.problems[0].fact}")
    """
)


class Driver:
    """A process that takes a study, and does what it is told."""

    def __init__(self, url: str, study: str = "flowers", *, renews: float, lasts: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER, url, study, str(renews), str(lasts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def tell(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "it ended"
        return line.strip()

    def do(self, what: str) -> str:
        self.tell(what)
        return self.hear()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


Start = Callable[..., Driver]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/studies.db"
    database: str = request.getfixturevalue("server").new_database()
    return database


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    drivers: list[Driver] = []

    def driver(study: str = "flowers", *, renews: float = 0.5, lasts: float = 30) -> Driver:
        drivers.append(Driver(url, study, renews=renews, lasts=lasts))
        assert drivers[-1].hear() == "ready"
        return drivers[-1]

    yield driver
    for each in drivers:
        each.end()


@pytest.mark.slow
def test_a_second_driver_is_refused_and_told_host_pid_and_what_to_type(
    url: str, start: Start
) -> None:
    first = start()
    assert first.do("take") == "done"
    with pytest.raises(SearchError) as caught, Lease(url, "flowers", where=" --storage X"):
        pass
    assert caught.value.status is Exit.CONFLICT
    problem = caught.value.problems[0]
    assert f"flowers is already running on {socket.gethostname()}, pid {first.pid}" in problem.fact
    assert ", since 20" in problem.fact
    assert "search stop flowers --storage X" in problem.fix
    with Lease(url, "other"):
        pass
    assert first.do("leave") == "done"
    assert find_holder(url, "flowers") is None
    with Lease(url, "flowers"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, pytest.param(20, marks=pytest.mark.thorough)])
def test_of_many_that_start_at_once_one_gets_the_study(start: Start, count: int) -> None:
    drivers = [start() for _ in range(count)]
    for driver in drivers:
        driver.tell("take")
    said = [driver.hear() for driver in drivers]
    assert said.count("done") == 1, said
    winner = drivers[said.index("done")]
    refused = [answer for answer in said if answer != "done"]
    assert all(answer.startswith("refused 4 study flowers is alr") for answer in refused)
    assert all(f"pid {winner.pid}," in answer for answer in refused)


@pytest.mark.slow
def test_the_study_of_a_killed_driver_is_free_at_once(url: str, start: Start) -> None:
    first = start(lasts=600)
    assert first.do("take") == "done"
    first.send(signal.SIGKILL)
    first.end()
    began = time.monotonic()
    with Lease(url, "flowers"):
        assert time.monotonic() - began < 1


@pytest.mark.slow
def test_a_driver_that_renews_keeps_its_study_past_the_first_expiry(url: str, start: Start) -> None:
    assert start(renews=0.2, lasts=1).do("take") == "done"
    time.sleep(2)
    with pytest.raises(SearchError, match="already running"), Lease(url, "flowers"):
        pass


@pytest.mark.slow
def test_the_lease_of_another_host_is_free_once_it_expired_and_not_before(
    url: str, start: Start
) -> None:
    first = start(renews=600, lasts=2)  # it stands still as one that is suspended
    assert first.do("take") == "done"
    with pytest.raises(SearchError, match="already running"), Lease(url, "flowers"):
        pass
    time.sleep(2.1)
    with Lease(url, "flowers"):
        pass


@pytest.mark.slow
def test_a_driver_that_was_suspended_and_lost_its_study_writes_nothing_more(
    url: str, start: Start
) -> None:
    first, second = start(renews=0.3, lasts=1), start()
    assert [first.do(what) for what in ("take", "open", "ask", "report")] == [
        *("done", "done", "done 0", "done")
    ]
    first.send(signal.SIGSTOP)
    time.sleep(1.2)
    assert [second.do(what) for what in ("take", "open", "ask", "report")] == [
        *("done", "done", "done 0", "done")
    ]
    first.tell("report")  # it is the first thing that it does when it goes on
    first.send(signal.SIGCONT)
    said = [first.hear() for _ in range(1)]
    while not said[-1].startswith("refused"):
        said.append(first.hear())
    fact = f"taken over while this run stood still for more than 1 s: it is running on {_host()}"
    assert f"refused 4 study flowers was {fact}, pid {second.pid}" in said[-1]
    assert first.do("interrupt").startswith(("refused 4", "end "))
    trial = view(url, "flowers").trials[0]
    assert (trial.state, sorted(trial.curve)) == (State.RUNNING, [1, 2])
    assert second.do("report") == "done"


@pytest.mark.slow
def test_a_driver_that_lost_its_study_is_told_at_its_next_renewal(url: str, start: Start) -> None:
    first = start(renews=0.3, lasts=1)
    assert first.do("take") == "done"
    first.send(signal.SIGSTOP)
    time.sleep(1.2)
    with Lease(url, "flowers"):
        first.send(signal.SIGCONT)
        said = first.hear()
        assert said.startswith("end error: study flowers was taken over"), said
        first.do("leave")
        holder = find_holder(url, "flowers")
        assert holder is not None
        assert holder.owner.pid == os.getpid()  # leaving let go of nobody else's


@pytest.mark.slow
def test_a_request_to_stop_reaches_the_driver_at_its_next_renewal(url: str, start: Start) -> None:
    first = start(renews=0.3)
    assert first.do("take") == "done"
    holder = find_holder(url, "flowers")
    assert holder is not None
    began = time.monotonic()
    ask_to_stop(url, "flowers", holder.owner.token)
    assert first.hear() == f"end {_host()}"
    assert time.monotonic() - began < 2
    assert first.do("leave") == "done"
    with Lease(url, "flowers", renews=0.1) as lease:  # who comes next was not asked
        time.sleep(0.4)
        assert lease.stop == ""


@pytest.mark.slow
def test_a_request_for_a_driver_that_is_gone_stops_nobody_else(url: str, start: Start) -> None:
    first = start()
    first.do("take")
    gone = find_holder(url, "flowers")
    assert gone is not None
    first.do("leave")
    with Lease(url, "flowers", renews=0.1) as lease:
        ask_to_stop(url, "flowers", gone.owner.token)
        time.sleep(0.4)
        assert lease.stop == ""


@pytest.mark.slow
def test_the_database_judges_not_the_clock_of_a_host(
    url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start().do("take") == "done"
    monkeypatch.setattr(time, "time", lambda: 4e9)  # a host whose clock is in 2096
    with pytest.raises(SearchError, match="already running"), Lease(url, "flowers"):
        pass
    holder = find_holder(url, "flowers")
    assert holder is not None
    assert not holder.expired


def test_it_can_be_taken_again_in_one_process_once_let_go(url: str) -> None:
    for _ in range(2):
        with (
            Lease(url, "flowers"),
            pytest.raises(SearchError, match="already running"),
            Lease(url, "flowers"),
        ):
            pass


def test_a_lease_alone_is_no_study_and_asking_who_holds_one_makes_no_file(
    url: str, tmp_path: Path
) -> None:
    file = sqlite_file(url)
    assert find_holder(url, "flowers") is None
    assert file is None or not file.exists()
    with Lease(url, "flowers"):
        assert list_studies(url) == ()


def _host() -> str:
    return socket.gethostname()
