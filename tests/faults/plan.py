"""Which faults are made, how often, and by which job; the short version for `make test`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from tests.faults import existing, hostile, inputs, kills, outages, signals, starts, trials, workers
from tests.faults.place import Place
from tests.faults.row import Row
from tests.faults.writes import Reference, crash_at, reference
from tests.postgres import PASSWORD, Postgres

T = TypeVar("T")
Server = Callable[[], Postgres]
"""Starts a new server, which lives until the harness ends."""
R1_SQLITE = "kill -9 of the driver, SQLite"
R1_POSTGRES = "kill -9 of the driver, PostgreSQL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What runs by itself beside others."""

    name: str
    run: Callable[[], list[Row]]


def full_plan(folder: Path, server: Server, *, files: int, seed: int) -> list[Job]:
    """Every row of the table; the longest first."""
    known = Once(partial(reference, folder / "without-a-crash"))
    half = [
        Job(name="R2", run=partial(_crashes, folder / f"crashes-{part}", known, part, 2))
        for part in range(2)
    ]
    return [
        *half,
        Job(name="R1", run=partial(_kills_and_edits, folder / "kills-1", 15, seed)),
        Job(name="R1", run=partial(_kills, folder / "kills-2", 15, seed + 1)),
        Job(name="R1", run=partial(_kills_postgres, folder / "kills-pg", server, 10, seed + 2)),
        Job(name="R7", run=partial(_outages, folder / "outages", server, 3, seed)),
        Job(name="R4", run=lambda: existing.run_cases(existing.REAL)),
        Job(name="R8", run=lambda: [outages.stays_away(folder / "away", server(), 2)]),
        Job(name="R3", run=lambda: [workers.kill_workers(folder / "workers", 10, seed=seed)]),
        Job(name="R15", run=lambda: [workers.hang_workers(folder / "hang", 3)]),
        Job(name="R5", run=lambda: signals.send_signals(folder / "signals", 3, seed=seed)),
        Job(name="R17", run=lambda: [trials.damaged_checkpoints(folder / "checkpoints")]),
        Job(name="R11", run=lambda: [starts.double_starts(folder / "twice", None, 14)]),
        Job(name="R11", run=partial(_double_postgres, folder / "twice-pg", server, 6)),
        Job(name="R13", run=lambda: trials.all_diverge(folder / "diverge")),
        Job(name="S1", run=lambda: [hostile.malformed_files(files)]),
        Job(name="tests", run=lambda: existing.run_cases(existing.UNIT)),
        Job(name="R9", run=lambda: _full_disk(folder / "disk")),
        Job(name="inputs", run=lambda: _inputs(folder, 24)),
    ]


def short_plan(folder: Path, server: Server, *, files: int, seed: int) -> list[Job]:
    """A little of what matters most, in about three minutes."""
    known = Once(partial(reference, folder / "without-a-crash"))
    return [
        Job(name="R1", run=partial(_kills_and_edits, folder / "kills", 4, seed)),
        Job(name="R2", run=partial(_crashes, folder / "crashes", known, 3, 12)),
        Job(name="R7", run=partial(_outages, folder / "outages", server, 1, seed)),
        Job(name="R11", run=lambda: [starts.double_starts(folder / "twice", None, 2)]),
        Job(name="S1", run=lambda: [hostile.malformed_files(min(files, 300))]),
    ]


class Once(Generic[T]):
    """A value that is made once, by whichever job needs it first."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._lock = threading.Lock()
        self._make = make
        self._made: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


def _crashes(folder: Path, known: Once[Reference], part: int, parts: int) -> list[Row]:
    """Every ``parts``-th point of the run without a crash."""
    return [crash_at(folder, known(), known().points[part::parts])]


def _kills(folder: Path, times: int, seed: int) -> list[Row]:
    place = Place(folder, epochs=3, concurrency=2)
    return [kills.kill_drivers(place, times, seed=seed, fault=R1_SQLITE)]


def _kills_and_edits(folder: Path, times: int, seed: int) -> list[Row]:
    """What the kills left, finished, is then run again with edited spaces."""
    place = Place(folder, epochs=3)
    row = kills.kill_drivers(place, times, seed=seed, fault=R1_SQLITE)
    return [row, *starts.edited_spaces(place)]


def _kills_postgres(folder: Path, server: Server, times: int, seed: int) -> list[Row]:
    """Kills with PostgreSQL; then the password is looked for in what they left."""
    since = time.time()
    place = Place(folder, storage=server().new_database(), epochs=3)
    row = kills.kill_drivers(place, times, seed=seed, fault=R1_POSTGRES)
    return [row, inputs.passwords_left(place, PASSWORD, since)]


def _outages(folder: Path, server: Server, each: int, seed: int) -> list[Row]:
    return [outages.outages(folder, server(), each=each, seed=seed)]


def _double_postgres(folder: Path, server: Server, times: int) -> list[Row]:
    return [starts.double_starts(folder, server().new_database(), times)]


def _full_disk(folder: Path) -> list[Row]:
    row = trials.full_disk(folder)
    return [] if row is None else [row]


def _inputs(folder: Path, files: int) -> list[Row]:
    return [
        hostile.hostile_files(folder / "hostile", files),
        inputs.bad_images(folder / "images"),
        inputs.escapes(folder / "escapes"),
    ]
