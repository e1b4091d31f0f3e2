"""One run of a study at a time, and `search stop`, by the real command."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from tests.e2e.test_faults import reports, states
from tests.e2e.workplace import Workplace

pytestmark = pytest.mark.slow

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.mark.thorough
def test_of_two_started_at_once_one_runs_and_the_other_goes_on_once_that_was_stopped(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    workplace.space(trials=2, epochs=200)
    both = [workplace.start("run", "tiny.yaml") for _ in range(2)]
    wait_for(lambda: any(child.poll() is not None for child in both))
    refused, first = sorted(both, key=lambda child: child.poll() is None)
    _, err = refused.communicate(timeout=30)
    assert refused.returncode == 4, err
    assert f"study tiny is already running on {socket.gethostname()}, pid {first.pid}, since" in err
    assert "search stop tiny" in err
    wait_for(lambda: len(reports(workplace.folder)) >= 2)

    asked = time.monotonic()
    stopping = workplace.run("stop", "tiny")
    assert stopping.returncode == 0, stopping.stderr
    assert time.monotonic() - asked < 20
    assert f"pid {first.pid}" in stopping.stdout
    out, err = first.communicate(timeout=10)
    assert first.returncode == 143, err
    assert f"stopped by search stop from {socket.gethostname()}; 1 trial waits. To go on:" in out
    assert set(states(workplace.folder).values()) == {"WAITING"}
    before = reports(workplace.folder)

    second = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(workplace.folder)) > len(before))
    after = reports(workplace.folder)
    assert {key: after[key] for key in before} == before
    assert "tiny is running on" in workplace.run("stop", "tiny", "--no-wait").stdout
    second.communicate(timeout=30)
    assert second.returncode == 143
    assert workplace.run("stop", "tiny").stdout == "tiny is not running\n"


def test_a_stop_while_it_prepares_leaves_no_study(workplace: Workplace, wait_for: WaitFor) -> None:
    child = workplace.start("run", "tiny.yaml")
    run = psutil.Process(child.pid)

    def preparing() -> list[psutil.Process]:
        return [each for each in run.children() if "search.cli.prepare" in each.cmdline()]

    wait_for(lambda: bool(preparing()))
    preparing()[0].suspend()  # or it would be done before the run hears of the stop

    def stopped() -> subprocess.CompletedProcess[str] | None:
        done = workplace.run("stop", "tiny")
        return done if done.returncode == 0 else None  # 2: it has not begun yet

    wait_for(lambda: stopped() is not None)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 143, err
    assert err == ""
    assert f"stopped by search stop from {socket.gethostname()}. To go on: search run" in out
    assert not (workplace.folder / "studies" / "tiny").exists()


@pytest.mark.thorough
def test_a_run_that_was_suspended_and_lost_its_study_ends_and_says_who_has_it(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    workplace.space(trials=2, epochs=400)
    first = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(workplace.folder)) >= 2)
    first.send_signal(signal.SIGSTOP)
    second = workplace.run("run", "tiny.yaml")
    assert second.returncode == 4  # the lease holds for 30 s
    time.sleep(30)
    second_try = workplace.start("run", "tiny.yaml")
    wait_for(lambda: f", pid {second_try.pid}," in workplace.run("status", "tiny").stdout)
    first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 4, out + err
    assert "study tiny was taken over while this run stood still for more than 30 s" in err
    assert f"pid {second_try.pid}" in err
    assert "Traceback" not in err
    before = len(reports(workplace.folder))
    wait_for(lambda: len(reports(workplace.folder)) > before + 1)
    assert second_try.poll() is None
