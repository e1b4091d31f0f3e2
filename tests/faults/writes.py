"""R2: a crash at every point between two writes of one small run.

An undisturbed run is counted first: every file that appears, every table made
and every transaction, in the driver, in its preparation, in the trial's worker and in
what measures the winner.
Then the same command is started again and again in a fresh folder; each start is
ended by ``kill -9``, from within, at the next point of that list that was not met
yet: driver and writing process both. The last start meets none and ends by
itself, and its table, its test figures and its exported weights are compared.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.database import read
from tests.faults.judge import judge, shown_by
from tests.faults.place import Place, Start
from tests.faults.row import Row

INJECT = Path(__file__).parent / "inject"
SEEN_BY_OTHERS = (": commit ", ": CREATE ", ": rename ", ": link ")
"""The writes that a later run can see: files that appear whole, and the database."""
TRIALS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The run without a crash."""

    points: tuple[str, ...]
    table: list[tuple[object, ...]]
    weights: str
    """SHA-256 of the exported tensors."""


def injected(place: Place, wanted: Path | None) -> dict[str, str]:
    """The environment in which a start counts its writes, and dies at one of ``wanted``."""
    folder = place.folder
    path = [str(INJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "FAULTS_ROOT": str(folder),
        "FAULTS_LEDGER": f"{folder}.ledger",
        "FAULTS_CRASHES": f"{folder}.crashes",
        "FAULTS_WANTED": "" if wanted is None else str(wanted),
    }


def _lines(file: str) -> list[str]:
    path = Path(file)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _fresh(folder: Path) -> Place:
    for name in ("ledger", "crashes", "wanted"):
        Path(f"{folder}.{name}").unlink(missing_ok=True)
    return Place(folder, trials=TRIALS)


def _weights(place: Place) -> str:
    file = place.study / "export" / "model.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "none"


def reference(folder: Path) -> Reference:
    """Run once without a crash, and list the points.

    Raises:
        RuntimeError: If that run fails.
    """
    place = _fresh(folder)
    start = place.start("run", "tiny.yaml", env=injected(place, None))
    if start.wait() != 0:
        raise RuntimeError(f"the run without a crash failed: {start.error_text[-2000:]}")
    points = tuple(line for line in _lines(f"{folder}.ledger") if _counts(line))
    return Reference(points=points, table=read(place.url).table(), weights=_weights(place))


def _counts(point: str) -> bool:
    """The lease is renewed by a clock: its first writes alone have a place in the order."""
    renewed = "search_leases" in point and not point.endswith("(1)")
    return any(kind in point for kind in SEEN_BY_OTHERS) and not renewed


def crash_at(folder: Path, known: Reference, points: tuple[str, ...]) -> Row:
    """Crash at each of ``points`` in turn, then compare with the run without."""
    began = time.monotonic()
    place = _fresh(folder)
    wanted = Path(f"{folder}.wanted")
    wanted.write_text("\n".join(points), encoding="utf-8")
    faults: list[str] = []
    for _ in range(len(points) + 3):
        start = place.start("run", "tiny.yaml", env=injected(place, wanted))
        status = start.wait()
        if status == 0:
            break
        met = _lines(f"{folder}.crashes")
        if status != -9:
            faults.append(f"exit {status} after {met[-1:]}: {start.error_text[-600:]}")
            break
        verdict = judge(shown_by(place.starts), read(place.url), ended=False)
        faults += [f"after {met[-1]}: {fault}" for fault in verdict.faults]
        if verdict.faults:
            break
    else:
        faults.append("it never came to an end")
    faults += _compared(place, known)
    met = _lines(f"{folder}.crashes")
    unmet = sorted(set(points) - set(met))
    faults += [f"no run came to: {point}" for point in unmet]
    faults += _orphans(place.starts)
    return Row(
        id="R2",
        fault="crash between any two writes",
        promise="the same final table as without the crash",
        tried=len(points),
        survived=len(met) if not faults else max(0, len(met) - len(faults)),
        figures="tables, test figures and exported weights compared",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _compared(place: Place, known: Reference) -> list[str]:
    record = read(place.url)
    faults = list(judge(shown_by(place.starts), record, ended=True).faults)
    table = record.table()
    for ours, theirs in zip(table, known.table, strict=False):
        if ours != theirs:
            faults.append(f"{ours} instead of {theirs}")
    if len(table) != len(known.table):
        faults.append(f"{len(table) - 1} trials instead of {len(known.table) - 1}")
    if _weights(place) != known.weights:
        faults.append("the exported weights differ")
    return faults


def _orphans(starts: list[Start]) -> list[str]:
    left = [name for start in starts[-3:] for name in start.left_after(10.0, idle=120.0)]
    return [f"processes of killed runs were left: {', '.join(left)}"] if left else []
