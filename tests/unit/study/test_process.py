"""Which process a pid means, and whether it still runs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from search.study.holder import Owner
from search.study.process import start_of, this_machine


@pytest.fixture
def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)


def test_a_process_that_runs_has_one_start_and_a_dead_one_none(
    child: subprocess.Popen[bytes],
) -> None:
    assert start_of(child.pid) == start_of(child.pid) != ""
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped yet
    assert start_of(child.pid) == ""
    child.communicate()
    assert start_of(child.pid) == ""


def test_this_process_is_alive_and_another_under_its_pid_is_not_it() -> None:
    here = Owner.here()
    assert not here.dead
    assert replace(here, started="1").dead


def test_of_a_process_of_another_machine_or_container_nothing_is_known() -> None:
    gone = replace(Owner.here(), pid=2**22 + 1)
    assert gone.dead
    assert not replace(gone, machine="another boot").dead


def test_two_leases_of_one_process_are_told_apart() -> None:
    assert Owner.here().token != Owner.here().token
    assert Owner.here().machine == this_machine()
