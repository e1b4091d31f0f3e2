"""One driver per study: who is refused, and when the lock is free again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from search.problems import Exit, SearchError
from search.study.lock import StudyLock

_HOLD = """
import os, sys, time
from pathlib import Path
from search.study.lock import StudyLock
with StudyLock(Path(sys.argv[1])):
    {meanwhile}
    os.write(1, b"held\\n")
    sys.stdin.read()
"""


def _holder(folder: Path, meanwhile: str = "pass") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD.format(meanwhile=meanwhile), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


def test_a_second_driver_is_refused_and_told_host_and_pid(tmp_path: Path) -> None:
    with _holder(tmp_path / "flowers") as first:
        with pytest.raises(SearchError) as caught, StudyLock(tmp_path / "flowers"):
            pass
        assert caught.value.status is Exit.CONFLICT
        fact = caught.value.problems[0].fact
        assert "study flowers is already running" in fact
        assert f"on {socket.gethostname()}, pid {first.pid}" in fact
        with StudyLock(tmp_path / "other"):
            pass
        first.communicate("")
    with StudyLock(tmp_path / "flowers"):
        pass


def test_the_lock_of_a_killed_driver_is_free(tmp_path: Path) -> None:
    with _holder(tmp_path) as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with StudyLock(tmp_path):
            pass


def test_a_forked_child_that_outlives_the_driver_does_not_hold_the_study(tmp_path: Path) -> None:
    fork = "os.fork() or (os.write(1, b'child %d\\n' % os.getpid()), time.sleep(60))"
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD.format(meanwhile=fork), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = [process.stdout.readline().split() for _ in range(2)]  # in either order
    child = next(int(words[1]) for words in said if words[0] == "child")
    assert ["held"] in said
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    try:
        with StudyLock(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_it_can_be_taken_again_in_one_process_once_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            StudyLock(tmp_path),
            pytest.raises(SearchError, match="already running"),
            StudyLock(tmp_path),
        ):
            pass
