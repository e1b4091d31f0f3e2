"""The end of a search in a process of its own: forked where torch is there, or started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from search.cli.finishing import finish_apart
from search.data.images import ImageTable
from search.export.asking import FinishJob
from search.export.finish import finish
from search.export.trial import Candidate
from search.problems import Exit, SearchError
from search.tuning.forkserver import forkserver
from tests.unit.export.conftest import origin_of

pytestmark = pytest.mark.slow  # torch is imported in each child


@pytest.fixture(scope="module")
def fork() -> Iterator[str]:
    """What is run in place of Python."""
    with forkserver() as command:
        assert command is not None
        yield command


@pytest.fixture(params=["fork", "python"])
def python(request: pytest.FixtureRequest, fork: str) -> str | None:
    return fork if request.param == "fork" else None


@pytest.fixture
def job(table: ImageTable, candidate: Candidate, tmp_path: Path) -> FinishJob:
    return FinishJob(
        origin=origin_of(table, tmp_path / "cache"),
        winner=candidate,
        default=None,
        destination=tmp_path / "export",
        resamples=100,
        device="cpu",
    )


def test_it_gives_what_it_gives_in_this_process(
    job: FinishJob, python: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pickle.py", "torch.py", "search.py"):  # a user's own, in the folder of the run
        (tmp_path / name).write_text("raise RuntimeError('not ours')")
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    steps: list[str] = []
    found = finish_apart(
        job,
        python=python,
        progress=lambda what, done, total: steps.append(what),
        opening=told.append,
    )
    here = finish(replace(job, destination=tmp_path / "here"))
    assert found == replace(here, folder=str(job.destination), seconds=found.seconds)
    assert told == ["winner", "linear_probe"]
    assert "test, best trial" in steps


def test_what_is_wrong_is_said_as_in_this_process(
    job: FinishJob, fork: str, tmp_path: Path
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "mine.txt").write_text("mine")
    told: list[str] = []
    with pytest.raises(SearchError, match="export") as caught:
        finish_apart(job, python=fork, progress=lambda *_: None, opening=told.append)
    assert caught.value.status is Exit.USAGE
    assert not told


def test_an_error_of_ours_is_raised_with_where_it_came_from(job: FinishJob, fork: str) -> None:
    broken = replace(job, device="no_such_device")
    with pytest.raises(Exception, match="no_such_device") as caught:
        finish_apart(broken, python=fork, progress=lambda *_: None, opening=lambda _: None)
    assert not isinstance(caught.value, SearchError)
    assert "search/export/" in "".join(caught.value.__notes__)


class _Stopped(Exception):
    """What a signal's handler raises, for this test."""


def _children() -> set[psutil.Process]:
    """Those that run, and theirs."""
    found = psutil.Process().children(recursive=True)
    return {each for each in found if each.status() != psutil.STATUS_ZOMBIE}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_ended_from_outside_is_told(
    job: FinishJob, fork: str, number: signal.Signals
) -> None:
    before = _children()

    def opening(what: str) -> None:
        (measuring,) = _children() - before
        os.kill(measuring.pid, number)

    with pytest.raises(SearchError, match="ended from outside") as caught:
        finish_apart(job, python=fork, progress=lambda *_: None, opening=opening)
    assert caught.value.problems[0].fix == "the same command measures again"


def test_nothing_is_left_of_it_when_this_side_stops(job: FinishJob, python: str | None) -> None:
    before = _children()
    started: set[psutil.Process] = set()

    def opening(what: str) -> None:
        started.update(_children() - before)
        raise _Stopped

    with pytest.raises(_Stopped):
        finish_apart(job, python=python, progress=lambda *_: None, opening=opening)
    assert started
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive
    assert not list(job.destination.parent.glob("export*"))


@pytest.mark.parametrize("sent", [b"", b"\x80\x05half"], ids=["nothing", "a_part"])
def test_one_whose_run_is_gone_before_it_has_the_job_says_nothing(sent: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search.cli.finish"], input=sent, capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == b""
