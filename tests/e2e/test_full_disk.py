"""The disk fills up in mid-run: the command says so, what it wrote before still
loads, and the same command goes on once there is room."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.training.checkpoint import Which, read
from tests.disks import SmallDisk, small_disk
from tests.e2e.workplace import Workplace

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

WaitFor = Callable[[Callable[[], bool]], None]
ALL = [(0, epoch) for epoch in range(1, 201)]


@pytest.fixture
def disk(workplace: Workplace) -> Iterator[SmallDisk]:
    with small_disk(workplace.folder / "disk") as mounted:
        yield mounted


def reports(database: Path) -> dict[tuple[int, int], float]:
    """What is committed, read past our own code."""
    if not database.exists():
        return {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            rows = connection.execute(
                "select trials.number, step, intermediate_value from trial_intermediate_values"
                " join trials using (trial_id)"
            ).fetchall()
        except sqlite3.OperationalError:  # the tables are being made
            return {}
    return {(number, step): value for number, step, value in rows}


@pytest.mark.parametrize("full", ["checkpoints", "database"])
def test_a_disk_that_fills_up_ends_the_run_and_the_same_command_goes_on(
    workplace: Workplace, disk: SmallDisk, wait_for: WaitFor, full: str
) -> None:
    workplace.space(trials=1, epochs=200)
    places = dict.fromkeys(("checkpoints", "database"), workplace.folder)
    places[full] = disk.folder
    database = places["database"] / "studies.db"
    folder = places["checkpoints"] / "studies"
    command = ["run", "tiny.yaml", "--set", f"checkpoints.dir={folder}"]
    command += ["--storage", f"sqlite:///{database}"]
    child = workplace.start(*command)
    wait_for(lambda: len(reports(database)) >= 3)
    disk.leave()
    _, err = child.communicate(timeout=100)
    assert child.returncode == 74, err
    assert "Traceback" not in err
    assert "its disk is full, " in err
    assert " bytes free" in err
    assert str(disk.folder) in err
    assert "fix: free some space there, then run the same command again" in err
    before = reports(database)
    trial = folder / "tiny/trials/00000"
    kept: list[Which] = [
        which
        for which in ("best", "last", "last.previous")  # type: ignore[misc]
        if (trial / f"{which}.safetensors").exists()
    ]
    assert "last" in kept
    assert [read(trial, which).epoch for which in kept]  # every byte is checked
    assert read(trial, "last").epoch >= len(before) - 1
    assert not list(trial.glob(".*.part")), "half of a file"
    disk.make_room()
    again = workplace.run(*command)
    assert again.returncode == 0, again.stderr
    after = reports(database)
    assert sorted(after) == ALL
    assert {key: after[key] for key in before} == before
