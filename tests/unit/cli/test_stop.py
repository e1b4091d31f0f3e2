"""``search stop`` against real leases in a real storage."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cli.complete import complete_running
from search.cli.stop import end
from search.problems import Exit, SearchError
from search.study.holder import find_holder
from search.study.lease import Lease

_HOLD = """
import sys
from search.study.lease import Lease
with Lease(sys.argv[1], "quick"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def running(url: str) -> Iterator[threading.Thread]:
    """A driver of ``quick`` that ends when it is asked to."""
    asked, held = threading.Event(), threading.Event()

    def drive() -> None:
        with Lease(url, "quick", renews=0.1, on_end=asked.set):
            held.set()
            asked.wait(30)

    driver = threading.Thread(target=drive)
    driver.start()
    assert held.wait(30)
    yield driver
    asked.set()
    driver.join()


@pytest.mark.slow
def test_it_asks_and_waits_until_the_run_has_ended(
    url: str, running: threading.Thread, capsys: pytest.CaptureFixture[str]
) -> None:
    end(url, "quick", flag="", wait=True)
    running.join(1)
    assert not running.is_alive()
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("quick is running on ")
    assert first.endswith("; it was asked to stop")
    assert last.startswith("quick ended after ")
    assert last.endswith("; the same search run goes on with it")


def test_without_waiting_it_says_whom_it_asked_and_leaves(
    url: str, running: threading.Thread, capsys: pytest.CaptureFixture[str]
) -> None:
    end(url, "quick", flag="", wait=False)
    assert "it was asked to stop" in capsys.readouterr().out
    running.join(10)
    assert find_holder(url, "quick") is None


@pytest.mark.slow
def test_a_killed_run_is_not_waited_for(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    child = subprocess.Popen([sys.executable, "-c", _HOLD, url], stdin=-1, stdout=-1, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    child.kill()
    child.communicate()
    end(url, "quick", flag="", wait=True)
    said = capsys.readouterr().out
    assert said.startswith("quick is not running; its last run, on ")
    assert f"pid {child.pid}" in said
    assert said.endswith(" was killed\n")


def test_a_study_that_is_not_there_is_an_error(url: str, running: threading.Thread) -> None:
    with pytest.raises(SearchError, match="no studies yet") as caught:
        end(url, "quik", flag="", wait=True)
    assert caught.value.status is Exit.USAGE


def test_without_a_name_it_lists_those_that_run(url: str, running: threading.Thread) -> None:
    with pytest.raises(SearchError, match="running: quick") as caught:
        end(url, None, flag=" --storage X", wait=True)
    assert caught.value.problems[0].fix == "search stop quick --storage X"


def test_completion_offers_those_that_run(
    url: str, running: threading.Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCH_STORAGE", url)
    assert complete_running("q") == ["quick"]
    assert complete_running("x") == []
