"""R1: ``kill -9`` of the driver at random moments; each start goes on from the last kill.

One study takes all kills of a row: what one killed start left is where the next begins,
at once, without waiting for what the killed one's Ray is still doing. The moments
are drawn: within the start-up, between the ask of a first trial and its first report,
and among the reports. The last start ends by itself, with two more trials.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.faults.database import Record, read
from tests.faults.judge import EPOCH, STARTS, judge, shown_by
from tests.faults.place import Place, Start
from tests.faults.row import Row

PLENTY = 5000
"""More trials than any row comes to."""
GONE_SECONDS, IDLE_GONE_SECONDS = 10.0, 120.0
"""So soon nothing of a killed session trains or writes any more; so soon nothing lives."""
BEFORE, BETWEEN, AMONG = "before the first trial", "between ask and first report", "later"


@dataclass
class Kills:
    """What the kills of one study did, so far."""

    faults: list[str] = field(default_factory=list)
    wounded: set[int] = field(default_factory=set)
    """Kills after which something was wrong."""
    moments: Counter[str] = field(default_factory=Counter)
    left: int = 0
    """Processes that outlived their killed driver for too long."""
    slowest: float = 0.0
    """Seconds until the last process of a killed session, that is not idle, was gone."""
    watchers: list[threading.Thread] = field(default_factory=list)

    def blame(self, kill: int, faults: list[str]) -> None:
        if faults:
            self.wounded.add(kill)
            self.faults += [f"kill {kill}: {fault}" for fault in faults]

    def watch(self, kill: int, start: Start) -> None:
        """See in a thread that nothing of the killed session stays."""

        def look() -> None:
            left = start.left_after(GONE_SECONDS, idle=IDLE_GONE_SECONDS)
            self.left += len(left)
            self.slowest = max(self.slowest, start.gone_after)
            if left:
                self.blame(kill, [f"of its processes there were left: {', '.join(left)}"])

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        self.watchers.append(thread)


def kill_drivers(place: Place, kills: int, *, seed: int, fault: str) -> Row:
    """Kill the driver so often, then let it end.

    Args:
        place: A fresh one.
        kills: How often.
        seed: Of the moments.
        fault: What the row is called.
    """
    began = time.monotonic()
    place.trials = PLENTY
    place.write_space()
    moments = random.Random(seed)
    so_far = Kills()
    before = Record()
    for kill in range(kills):
        start = place.run()
        _wait_for_the_moment(start, kill, moments)
        status = start.process.poll()
        if status is not None:
            so_far.blame(kill, [f"exit {status} by itself: {start.error_text[-500:]}"])
        start.kill()
        so_far.watch(kill, start)
        so_far.moments[_moment(start)] += 1
        record = read(place.url)
        verdict = judge(shown_by(place.starts), record, ended=False)
        so_far.blame(kill, [*verdict.faults, *changed(before, record)])
        before = record
    figures = _end(place, so_far, before, kills)
    return Row(
        id="R1",
        fault=fault,
        promise="the same command goes on; nothing shown is lost, nothing finished repeated",
        tried=kills,
        survived=kills - len(so_far.wounded & set(range(kills))),
        figures=figures,
        kills=True,
        faults=tuple(so_far.faults),
        seconds=time.monotonic() - began,
    )


def _end(place: Place, so_far: Kills, before: Record, kills: int) -> str:
    """Let the command end by itself; the figures of the row."""
    trials = before.count("COMPLETE", "PRUNED", "FAIL") + 2
    last = place.run("--trials", str(trials))
    status = last.wait()
    if status != 0:
        so_far.blame(kills, [f"the last start: exit {status}: {last.error_text[-500:]}"])
    record = read(place.url)
    verdict = judge(shown_by(place.starts), record, ended=True)
    so_far.blame(kills, [*verdict.faults, *changed(before, record)])
    settled = record.count("COMPLETE", "PRUNED", "FAIL")
    if settled != trials:
        so_far.blame(kills, [f"{settled} trials are settled, {trials} were wanted"])
    for watcher in so_far.watchers:
        watcher.join()
    moments = ", ".join(f"{so_far.moments[name]} {name}" for name in (BEFORE, BETWEEN, AMONG))
    gone = f"processes left {so_far.left}, all that train or write gone in {so_far.slowest:.0f} s"
    return f"{moments}; {verdict.figures}; {gone}"


def _wait_for_the_moment(start: Start, kill: int, moments: random.Random) -> None:
    """Wait until the drawn moment, or until the start ends by itself."""
    kind = (BETWEEN, AMONG, BEFORE, AMONG, AMONG)[kill % 5]
    if kind == BEFORE:
        start.wait_for("nothing says this", seconds=moments.uniform(0.1, 8.0))
    elif kind == BETWEEN:
        start.wait_for(STARTS.pattern)
        start.wait_for(EPOCH.pattern, seconds=moments.uniform(0.0, 4.0))
    else:
        start.wait_for(EPOCH.pattern, count=moments.randint(1, 20))
        time.sleep(moments.uniform(0.0, 0.5))


def _moment(start: Start) -> str:
    if not any(STARTS.search(line) for line in start.lines):
        return BEFORE
    return AMONG if any(EPOCH.search(line) for line in start.lines) else BETWEEN


def changed(before: Record, after: Record) -> list[str]:
    """What was recorded and is not any more, or is otherwise: a broken promise each."""
    there = {trial.number: trial for trial in after.trials}
    faults = []
    for trial in before.trials:
        now = there.get(trial.number)
        if now is None:
            faults.append(f"trial {trial.number} was recorded, and is gone")
        elif trial.settled and now.table_row() != trial.table_row():
            faults.append(f"trial {trial.number} was settled, and has changed")
        elif any(now.curve.get(epoch) != value for epoch, value in trial.curve.items()):
            faults.append(f"trial {trial.number}: recorded epochs have changed")
    return faults
