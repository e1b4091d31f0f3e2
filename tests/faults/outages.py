"""R7 and R8: a real PostgreSQL server that is killed in mid-run, and comes back, or not."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from tests.faults.database import Record, read
from tests.faults.judge import EPOCH, judge, shown_by
from tests.faults.kills import PLENTY, changed
from tests.faults.place import Place, Start
from tests.faults.row import Row
from tests.postgres import Postgres

LENGTHS = (0.5, 5.0, 20.0)
"""Seconds that the server is down."""
AFTER = 3
"""Epochs that must be shown after it is back."""


def outages(folder: Path, server: Postgres, *, each: int, seed: int) -> Row:
    """So many outages of each length in one run."""
    began = time.monotonic()
    place = Place(folder, storage=server.new_database(), trials=PLENTY, epochs=3)
    start = place.run()
    start.wait_for(EPOCH.pattern)
    lengths = [length for length in LENGTHS for _ in range(each)]
    random.Random(seed).shuffle(lengths)
    faults: list[str] = []
    survived = said = 0
    before = Record()
    for length in lengths:
        with server.down(length):
            time.sleep(length)
        wrong = _after(start)
        # What is shown is committed, so the database is read later than the screen.
        shown = shown_by(place.starts)
        record = read(place.url)
        wrong += judge(shown, record, ended=False).faults
        wrong += changed(before, record)
        before = record
        survived += not wrong
        faults += [f"after {length} s: {fault}" for fault in wrong]
        if start.process.poll() is not None:
            break
    said = sum("storage away" in line for line in start.lines)
    start.send(signal.SIGTERM)
    status = start.wait(seconds=60.0)
    if status != 143:
        faults.append(f"exit {status}: {start.error_text[-500:]}")
    verdict = judge(shown_by(place.starts), read(place.url), ended=True)
    faults += verdict.faults
    if not said:
        faults.append("nothing was said of the outages")
    return Row(
        id="R7",
        fault="PostgreSQL down 0.5, 5 and 20 s",
        promise="the run waits and says so; nothing lost, nothing told twice",
        tried=len(LENGTHS) * each,
        survived=survived,
        figures=f"{verdict.figures}; said {said} times",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _after(start: Start) -> list[str]:
    """Whether the run goes on once the server is there again."""
    seen = sum(bool(EPOCH.search(line)) for line in list(start.lines))
    if start.wait_for(EPOCH.pattern, count=seen + AFTER, seconds=60.0):
        return []
    status = start.process.poll()
    return [f"no report in 60 s, exit {status}: {start.error_text[-400:]}"]


def stays_away(folder: Path, server: Postgres, times: int) -> Row:
    """The server goes in mid-run and stays away until the command has given up."""
    began = time.monotonic()
    place = Place(folder, storage=server.new_database(), trials=PLENTY, epochs=90)
    faults: list[str] = []
    survived = replayed = kept = 0
    for turn in range(times):
        start = place.run()
        start.wait_for(EPOCH.pattern, count=3)
        server.crash()
        status = start.wait(seconds=150.0)
        wrong = [] if status == 74 else [f"exit {status}: {start.error_text[-400:]}"]
        if "Traceback" in start.error_text:
            wrong.append("a traceback was printed")
        said = [line for line in start.lines if "could not be recorded" in line]
        server.start()
        there = read(place.url)
        wrong += judge(shown_by(place.starts), there, ended=False).faults
        waited = _unrecorded(said)
        following = place.run()
        following.wait_for(EPOCH.pattern, count=waited + 1, seconds=90.0)
        following.kill()
        now = read(place.url)
        wrong += judge(shown_by(place.starts), now, ended=False).faults
        wrong += changed(there, now)
        gained = len(now.epochs) - len(there.epochs)
        kept += waited
        replayed += min(waited, gained)
        if gained < waited:
            wrong.append(f"{waited} epochs were kept, {gained} are recorded by the next run")
        survived += not wrong
        faults += [f"time {turn}: {fault}" for fault in wrong]
    shown = shown_by(place.starts)
    return Row(
        id="R8",
        fault="the database stays away",
        promise="exit 74; what is not written is kept, and sent by the next run",
        tried=times,
        survived=survived,
        figures=f"replayed {replayed}/{kept} epochs; {len(shown.epochs)} shown, lost 0"
        if not faults
        else f"replayed {replayed}/{kept} epochs",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _unrecorded(said: list[str]) -> int:
    """How many epochs the command said that it could not record."""
    words = said[-1].split("epoch")[0].split() if said else []
    return int(words[-1]) if words and words[-1].isdigit() else 0
