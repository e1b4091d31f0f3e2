"""R5 and R6: Ctrl-C and SIGTERM at random moments of one study, and Ctrl-C twice."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.database import read
from tests.faults.judge import EPOCH, STARTS, judge, shown_by
from tests.faults.kills import IDLE_GONE_SECONDS, PLENTY
from tests.faults.place import Place, Start
from tests.faults.row import Row

LIMIT_SECONDS = 10.0
AT_ONCE_SECONDS = 4.0
"""Ray, where it is being stopped already, gets two of them."""
RESUME = "To go on: search run tiny.yaml"


@dataclass
class Series:
    """Signals of one kind."""

    sent: int = 0
    faults: list[str] = field(default_factory=list)
    wounded: int = 0
    slowest: float = 0.0

    def took(self, seconds: float, faults: list[str]) -> None:
        self.sent += 1
        self.slowest = max(self.slowest, seconds)
        self.wounded += bool(faults)
        self.faults += faults

    def row(self, id: str, fault: str, promise: str, seconds: float) -> Row:
        return Row(
            id=id,
            fault=fault,
            promise=promise,
            tried=self.sent,
            survived=self.sent - self.wounded,
            figures=f"slowest {self.slowest:.1f} s",
            faults=tuple(self.faults),
            seconds=seconds,
        )


def send_signals(folder: Path, each: int, *, seed: int) -> list[Row]:
    """So many of each signal, in turn, in one study that goes on from each."""
    began = time.monotonic()
    place = Place(folder, trials=PLENTY, epochs=3)
    moments = random.Random(seed)
    polite = {signal.SIGINT: Series(), signal.SIGTERM: Series()}
    for turn in range(2 * each):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        start = place.run()
        _until_a_moment(start, turn // 2, moments)
        sent = time.monotonic()
        start.send(number)
        status = start.wait(seconds=60.0)
        seconds = time.monotonic() - sent
        faults = _wrong(place, start, status, 128 + number, seconds)
        polite[number].took(seconds, [f"signal {turn}: {fault}" for fault in faults])
    twice = Series()
    start = place.run()
    start.wait_for(EPOCH.pattern)
    start.send(signal.SIGINT)
    time.sleep(0.3)
    sent = time.monotonic()
    start.send(signal.SIGINT)
    status = start.wait(seconds=60.0)
    seconds = time.monotonic() - sent
    late = [] if seconds < AT_ONCE_SECONDS else [f"it took {seconds:.1f} s"]
    odd = [] if status in (130, -signal.SIGINT) else [f"exit {status}"]
    left = start.left_after(LIMIT_SECONDS, idle=IDLE_GONE_SECONDS)
    twice.took(seconds, late + odd + ([f"processes were left: {left}"] if left else []))
    promise = "reports land, out in 10 s, exit {}, the resume line printed"
    spent = time.monotonic() - began
    return [
        polite[signal.SIGINT].row("R5", "Ctrl-C", promise.format(130), spent),
        polite[signal.SIGTERM].row("R6", "SIGTERM", promise.format(143), spent),
        twice.row("R5", "a second Ctrl-C", "leaves at once", spent),
    ]


def _until_a_moment(start: Start, turn: int, moments: random.Random) -> None:
    """Among the reports; every third time before a first report."""
    if turn % 3 == 2:
        start.wait_for(STARTS.pattern)
        start.wait_for(EPOCH.pattern, seconds=moments.uniform(0.0, 3.0))
    else:
        start.wait_for(EPOCH.pattern, count=moments.randint(1, 15))


def _wrong(place: Place, start: Start, status: int, wanted: int, seconds: float) -> list[str]:
    faults = list(judge(shown_by(place.starts), read(place.url), ended=True).faults)
    if status != wanted:
        faults.append(f"exit {status} instead of {wanted}: {start.error_text[-300:]}")
    if seconds > LIMIT_SECONDS:
        faults.append(f"it took {seconds:.1f} s")
    if RESUME not in start.text:
        faults.append("the resume line is missing")
    if "Traceback" in start.error_text:
        faults.append("a traceback was printed")
    left = start.left_after(2.0)
    if left:
        faults.append(f"processes were left: {', '.join(left)}")
    return faults
