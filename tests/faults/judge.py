"""The database against the acknowledgements: lost, repeated, left running."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults.database import Record
from tests.faults.place import Start

EPOCH = re.compile(r"trial +(\d+)  epoch +(\d+)  \w+ (\S+)  ")
STARTS = re.compile(r"trial +(\d+)  starts( after epoch (\d+))?")
SETTLED = re.compile(r"trial +(\d+)  (complete|pruned|failed) ")
STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


@dataclass
class Shown:
    """What the command showed, over all of its starts in order."""

    epochs: list[tuple[int, int, str]] = field(default_factory=list)
    settled: dict[int, str] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    """Trials that were started, or reported, after they were shown settled."""

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            if found := EPOCH.search(line):
                number = int(found[1])
                self.epochs.append((number, int(found[2]), found[3]))
            elif found := STARTS.search(line):
                number = int(found[1])
            elif found := SETTLED.search(line):
                self.settled.setdefault(int(found[1]), STATES[found[2]])
                continue
            else:
                continue
            if number in self.settled:
                self.again.append(f"again after it was settled: {line.strip()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Broken promises, each a line; all empty when all is well."""

    lost: tuple[str, ...]
    repeated: tuple[str, ...]
    running: tuple[str, ...]
    shown: int
    """Epochs and ends that were shown."""

    @property
    def faults(self) -> tuple[str, ...]:
        return (*self.lost, *self.repeated, *self.running)

    @property
    def figures(self) -> str:
        return (
            f"{self.shown} results shown; lost {len(self.lost)}; repeated "
            f"{len(self.repeated)}; left RUNNING {len(self.running)}"
        )


def shown_by(starts: Iterable[Start]) -> Shown:
    shown = Shown()
    for start in starts:
        shown.add(list(start.lines))
    return shown


def judge(shown: Shown, record: Record, *, ended: bool) -> Verdict:
    """Compare.

    Args:
        shown: By all starts of the command.
        record: The database, read after that.
        ended: Whether the last of them has ended by itself, so that no trial runs.
    """
    there = record.epochs
    lost = []
    for number, epoch, text in shown.epochs:
        value = there.get((number, epoch))
        if value is None or not _same(value, text):
            lost.append(f"trial {number} epoch {epoch}: {text} was shown, {value} is recorded")
    states = {trial.number: trial.state for trial in record.trials}
    for number, state in shown.settled.items():
        if states.get(number) != state:
            lost.append(f"trial {number}: {state} was shown, {states.get(number)} is recorded")
    times = Counter((number, epoch) for number, epoch, _ in shown.epochs)
    repeated = [f"trial {n} epoch {e} was shown {k} times" for (n, e), k in times.items() if k > 1]
    running = [f"trial {t.number} is RUNNING" for t in record.trials if t.state == "RUNNING"]
    return Verdict(
        lost=tuple(lost),
        repeated=(*repeated, *shown.again),
        running=tuple(running) if ended else (),
        shown=len(shown.epochs) + len(shown.settled),
    )


def _same(value: float, text: str) -> bool:
    """Whether a number is what was printed of it: half a unit of the last digit."""
    try:
        digits = len(text.partition(".")[2].partition("e")[0])
        return abs(value - float(text)) <= 0.5001 * 10.0**-digits * max(1.0, abs(value))
    except ValueError:
        return False
