"""The rows as a table for a terminal, a readable report, and a JSON document."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.row import Row

READING = (
    "R1: one study takes all kills of a series, and each start begins at once where the last was "
    "killed. What trains or writes must be gone 10 s after the kill; Ray's idle processes, which "
    "wait a minute for a cluster that is gone, after 120 s.",
    "R2: each point is met once, by `kill -9` of the driver and of the process that writes, from "
    "within. Counted are the writes that a later run can see: transactions, tables, files that "
    "appear; of the lease, which a clock renews, the first. Not compared: times, and how often the "
    "test set was opened, which a crash between opening and recording rightly raises.",
    "R14, R4 and the rows that name test files: these tests are run, and their cases counted.",
    "How each row is made is said at the top of its module in `tests/faults/`.",
)
"""What a figure leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of the harness."""

    rows: tuple[Row, ...]
    seconds: float
    full: bool
    commit: str
    when: str

    @property
    def holds(self) -> bool:
        return bool(self.rows) and all(row.holds for row in self.rows)

    def document(self) -> dict[str, Any]:
        return {
            "commit": self.commit,
            "when": self.when,
            "full": self.full,
            "seconds": round(self.seconds, 1),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "holds": self.holds,
            "rows": [row.document() for row in self.rows],
        }


def ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows as in the table of faults: R1 to R17, then S1 to S8."""

    def place(row: Row) -> tuple[str, int, str]:
        found = re.fullmatch(r"([A-Z]+)(\d+)", row.id)
        return (found[1], int(found[2]), row.fault) if found else (row.id, 0, row.fault)

    return tuple(sorted(rows, key=place))


def text_table(rows: Sequence[Row]) -> str:
    """For a terminal: aligned, units in the headers, broken promises below."""
    header = ("id", "fault", "n/n", "rate still allowed (95 %)", "figures")
    body = [(row.id, row.fault, row.score, row.allowed, row.figures) for row in rows]
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(4)]
    lines = [
        "  ".join([*(f"{part:<{w}}" for part, w in zip(line, widths, strict=False)), line[4]])
        for line in [header, *body]
    ]
    broken = [f"{row.id} {row.fault}: {fault}" for row in rows for fault in row.faults]
    return "\n".join([*(line.rstrip() for line in lines), *(["", *broken] if broken else [])])


def markdown(ran: Ran) -> str:
    """The report that is committed as studies/faults.md."""
    minutes = ran.seconds / 60
    broken = [row for row in ran.rows if not row.holds]
    lines = [
        "# What was broken on purpose, and what came of it",
        "",
        f"`make faults` at commit `{ran.commit}`, {ran.when}, {minutes:.0f} minutes on "
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
        f"{'' if ran.full else ' (the short version)'}.",
        "",
        "Faults are real: `kill -9` of real processes of the real command, a real PostgreSQL "
        "server, real Ray. Every line that the command printed is an acknowledgement; the "
        "database is read with plain SQL, past our own code, and compared with them: a result "
        "that was shown and is not recorded is *lost*, one that was shown twice or trained again "
        "after its end is *repeated*. For kills, the last column but one says which failure rate "
        "the series still allows at 95 %: with n of n survived, 1 - 0.05^(1/n).",
        "",
        f"**{len(ran.rows) - len(broken)} of {len(ran.rows)} rows hold.**",
        "",
        "| id | fault | promised | n/n | rate still allowed | figures |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in ran.rows:
        cells = (row.id, row.fault, row.promise, row.score, row.allowed, row.figures)
        lines.append("| " + " | ".join(_cell(each) for each in cells) + " |")
    if broken:
        lines += ["", "## What did not hold", ""]
        for row in broken:
            lines.append(f"- **{row.id}, {row.fault}** ({row.score}):")
            lines += [f"  - {_cell(fault)[:600]}" for fault in row.faults[:10]]
    lines += ["", "## How to read it", "", *(f"- {each}" for each in READING), ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
