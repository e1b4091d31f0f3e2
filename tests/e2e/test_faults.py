"""Kills, signals and a second driver, on real processes of the real command."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.workplace import Workplace

pytestmark = pytest.mark.slow

WaitFor = Callable[[Callable[[], bool]], None]


def reports(folder: Path) -> dict[tuple[int, int], float]:
    """What is committed: (trial number, epoch) -> value, read past our own code."""
    file = folder / "studies" / "studies.db"
    if not file.exists():
        return {}
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        try:
            rows = connection.execute(
                "select trials.number, step, intermediate_value from trial_intermediate_values"
                " join trials using (trial_id)"
            ).fetchall()
        except sqlite3.OperationalError:  # the tables are being made
            return {}
    return {(number, step): value for number, step, value in rows}


def states(folder: Path) -> dict[int, str]:
    file = folder / "studies" / "studies.db"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        return dict(connection.execute("select number, state from trials").fetchall())


@pytest.mark.thorough
def test_a_killed_driver_loses_nothing_repeats_nothing_and_leaves_nothing_running(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    workplace.space(trials=3, epochs=6)
    child = workplace.start("run", "tiny.yaml", "--set", "scheduler.name=none")
    wait_for(lambda: len(reports(workplace.folder)) >= 8)  # within the second trial
    child.send_signal(signal.SIGKILL)
    child.wait()
    before, settled = reports(workplace.folder), states(workplace.folder)
    done = workplace.run("run", "tiny.yaml", "--set", "scheduler.name=none")
    assert done.returncode == 0, done.stderr
    after = reports(workplace.folder)
    assert {key: after[key] for key in before} == before  # nothing lost or written over
    assert sorted(after) == [(trial, epoch) for trial in range(3) for epoch in range(1, 7)]
    assert set(states(workplace.folder).values()) == {"COMPLETE"}
    for number in (n for n, state in settled.items() if state == "COMPLETE"):
        assert f"trial {number}  starts" not in done.stdout
    assert "after epoch" in done.stdout or "from epoch" in done.stdout or "goes on" in done.stdout


@pytest.mark.thorough
def test_an_interrupted_curve_is_the_uninterrupted_one(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    workplace.space(trials=1, epochs=6)
    child = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(workplace.folder)) >= 3)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert workplace.run("run", "tiny.yaml").returncode == 0
    interrupted = reports(workplace.folder)
    (workplace.folder / "studies").rename(workplace.folder / "first")
    assert workplace.run("run", "tiny.yaml").returncode == 0
    assert reports(workplace.folder) == interrupted
    assert len(interrupted) == 6


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl_c"),
        pytest.param(signal.SIGTERM, 143, id="sigterm"),
    ],
)
def test_a_signal_ends_it_within_ten_seconds_and_says_how_to_go_on(
    workplace: Workplace, wait_for: WaitFor, number: int, status: int
) -> None:
    workplace.space(trials=3, epochs=200)
    child = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(workplace.folder)) >= 2)
    sent = time.monotonic()
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert time.monotonic() - sent < 10
    assert child.returncode == status, err
    assert "To go on: search run tiny.yaml" in out
    assert "RUNNING" not in states(workplace.folder).values()
    assert "WAITING" in states(workplace.folder).values()
    assert "Traceback" not in err


@pytest.mark.thorough
def test_a_second_driver_is_refused_naming_the_first(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    workplace.space(trials=2, epochs=200)
    child = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(workplace.folder)) >= 1)
    for more in ((), ("--set", "checkpoints.dir=elsewhere")):
        second = workplace.run("run", "tiny.yaml", *more)
        assert second.returncode == 4
        assert f"pid {child.pid}" in second.stderr
    assert not (workplace.folder / "elsewhere" / "tiny").exists()
    assert child.poll() is None


@pytest.mark.thorough
def test_a_killed_worker_goes_on_from_its_checkpoint(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    workplace.space(trials=1, epochs=60)
    child = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(workplace.folder)) >= 2)
    workers = [
        process
        for process in psutil.Process(child.pid).children(recursive=True)
        if "Trainable" in " ".join(process.cmdline())
    ]
    assert len(workers) >= 1, "no actor of this run was found"
    for worker in workers:
        worker.kill()
    out, err = child.communicate(timeout=150)
    assert child.returncode == 0, err
    assert "its worker died after epoch" in out
    assert sorted(reports(workplace.folder)) == [(0, epoch) for epoch in range(1, 61)]


def test_the_first_epoch_of_quick_yaml_is_there_within_45_seconds(workplace: Workplace) -> None:
    quick = Path(__file__).parents[2] / "spaces" / "quick.yaml"
    began = time.monotonic()
    child = workplace.start("run", str(quick))
    assert child.stdout is not None
    last = began
    for line in child.stdout:
        assert time.monotonic() - last < 20, f"silent before: {line}"  # at least every 15 s
        last = time.monotonic()
        if "epoch 1  balanced_accuracy" in line:
            break
    assert time.monotonic() - began < 45
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == 130
