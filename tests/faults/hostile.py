"""S1: malformed space files, through the real loader and through the real command.

``python -m tests.faults.hostile N`` reads N of them in a process of its own, so
that its clock is not that of the kills beside it, and prints a JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.place import Place, Start
from tests.faults.row import Row

SECONDS = 1.0
"""Processor time in which a file is refused."""
USAGE = 2


@dataclass
class Fuzzed:
    """What the loader made of many files."""

    files: int = 0
    refused: int = 0
    located: int = 0
    """Refused, and a place is named."""
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


def malformed_files(count: int) -> Row:
    """Mutations of the shipped spaces, and bytes of any kind, in a process of their own."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.hostile", str(count)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode == 0:
        seen = Fuzzed(**json.loads(done.stdout.splitlines()[-1]))
    else:
        seen = Fuzzed(faults=[done.stderr[-500:]])
    return Row(
        id="S1",
        fault="malformed space files, through the loader",
        promise="located problems, exit 2, under a second, no traceback",
        tried=count,
        survived=max(0, seen.files - len(seen.faults)),
        figures=f"fuzzed {seen.files}, refused {seen.refused}, located {seen.located}, "
        f"slowest {seen.slowest:.2f} s, tracebacks {len(seen.faults)}",
        faults=tuple(seen.faults[:20]),
        seconds=time.monotonic() - began,
    )


def fuzz(count: int) -> Fuzzed:
    """Read so many files with the real loader."""
    import hypothesis
    import hypothesis.strategies as st

    from tests.unit.space.test_laws import mutations

    seen = Fuzzed()

    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(content=mutations() | st.binary(max_size=400))
    def read_one(content: bytes) -> None:
        if seen.files < count:
            seen.files += 1
            _read(content, seen)

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        while seen.files < count:  # a small strategy may run out of new examples
            read_one()
    return seen


def _read(content: bytes, seen: Fuzzed) -> None:
    from search.cli.options import SpaceFlags
    from search.cli.space_file import load_space
    from search.problems import SearchError

    path = Path("malformed.yaml")
    path.write_bytes(content)
    began = time.process_time()
    try:
        load_space(path, SpaceFlags(), env={})
    except SearchError as error:
        seen.refused += 1
        # Each names a place in the file; "and 12 more" closes a long list without one.
        if all(problem.place for problem in error.problems[:-1]) and str(error):
            seen.located += bool(error.problems[0].place)
        else:
            seen.faults.append(f"not located: {content[:200]!r}: {error}")
        if error.status != USAGE:
            seen.faults.append(f"exit {error.status}: {content[:200]!r}")
    except Exception:
        seen.faults.append(f"{content[:200]!r}: {traceback.format_exc()[-400:]}")
    spent = time.process_time() - began
    seen.slowest = max(seen.slowest, spent)
    if spent > SECONDS:
        seen.faults.append(f"{spent:.1f} s: {content[:200]!r}")


def hostile_files(folder: Path, count: int) -> Row:
    """Hostile files, each with the real command."""
    from tests.unit.space.test_reader import HOSTILE

    began = time.monotonic()
    place = Place(folder)
    names = sorted(HOSTILE)
    chosen = names[:: max(1, len(names) // count)][:count]
    faults = []
    slowest = 0.0
    for name in chosen:
        content = HOSTILE[name][0].encode("utf-8", errors="surrogateescape")
        (folder / "hostile.yaml").write_bytes(content)
        start, spent = _refused(place)
        if spent > SECONDS:  # beside other jobs a processor's second is worth less
            start, again = _refused(place)
            spent = min(spent, again)
        slowest = max(slowest, spent)
        said = start.error_text
        if start.process.returncode != USAGE or "hostile.yaml" not in said or "Traceback" in said:
            faults.append(f"{name}: exit {start.process.returncode}: {said[-300:]}")
        elif spent > SECONDS:
            faults.append(f"{name}: {spent:.1f} s")
    return Row(
        id="S1",
        fault="hostile space files, with the real command",
        promise="located problems, exit 2, under a second, no traceback",
        tried=len(chosen),
        survived=len(chosen) - len(faults),
        figures=f"slowest {slowest:.2f} s of processor time, start of Python included",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _refused(place: Place) -> tuple[Start, float]:
    """A start that has ended, and its seconds of processor time."""
    start = place.start("run", "hostile.yaml")
    _, status, used = os.wait4(start.process.pid, 0)
    start.process.returncode = os.waitstatus_to_exitcode(status)
    return start, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(asdict(fuzz(int(sys.argv[1])))))
