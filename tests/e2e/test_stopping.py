"""Ctrl-C and SIGTERM while no trial runs: before the first, and after the last."""

from __future__ import annotations

import os
import signal
import subprocess

import psutil
import pytest

from tests.e2e.workplace import Workplace

pytestmark = pytest.mark.slow


def read_until(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if text in line:
            return
    raise AssertionError(f"it ended without saying {text!r}")


def stop(child: subprocess.Popen[str], number: int) -> list[psutil.Process]:
    """Send the signal, Ctrl-C to the whole group as a terminal does; the
    processes that the run had started by then."""
    started = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(number)
    for process in started:
        try:
            if number == signal.SIGINT and os.getpgid(process.pid) == os.getpgid(child.pid):
                process.send_signal(number)
        except (ProcessLookupError, psutil.NoSuchProcess):
            pass
    return started


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl_c"),
        pytest.param(signal.SIGTERM, 143, id="sigterm"),
    ],
)
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("preparing  starting Ray", id="while_ray_starts"),
        pytest.param("preparing  checking images", id="while_preparing"),
        pytest.param("measuring  ", id="while_measuring"),
    ],
)
def test_a_signal_outside_trials_says_how_to_go_on_and_leaves_no_process(
    workplace: Workplace, moment: str, number: int, status: int
) -> None:
    workplace.space(trials=1, epochs=1)
    child = workplace.start("run", "tiny.yaml")
    read_until(child, moment)
    started = stop(child, number)
    # Seconds on a quiet machine; what is being imported from a slow disk cannot be cut short.
    out, err = child.communicate(timeout=60)
    assert child.returncode == status, err
    assert out.endswith("stopped. To go on: search run tiny.yaml\n")
    assert err == ""
    _, alive = psutil.wait_procs(started, timeout=2)
    assert not alive
    if moment.startswith("measuring"):
        assert "\nbest  trial 0, epoch 1: " in out  # shown, whether the test set was read by then
        said = workplace.run("status", "tiny").stdout
        assert ("\n  search run tiny.yaml " in said) == ("\ntest " not in said)
    if moment.startswith("preparing"):
        assert not (workplace.folder / "studies" / "tiny").exists()
