"""Ours, the baseline and the careful script on the same work: `make bench`.

Every side gets the same images, the same packaged weights and the same recorded
trials in the same order; sides take turns. CPU-seconds are the kernel's, of all
processes to their end; wall is from the first command to the last. Prints a table
and writes every run into one JSON document.

    python benchmarks/bench.py --out benchmarks/bench.json [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent))

import work
from measured import Measured, run

HERE = Path(__file__).parent.absolute()
Side = Literal["ours", "baseline", "careful"]
OURS = re.compile(r"trial +\d+ +epoch +\d+ +balanced_accuracy +([0-9.]+)")
THEIRS = re.compile(r"REPORT [0-9.]+ ([0-9.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    figure: str
    floor: str
    """What it should reach."""
    value: float
    shown: str
    good: bool | None
    """None where nothing is asked."""


class Bench:
    """The folder, and every run so far."""

    def __init__(self, folder: Path, given: work.Work) -> None:
        self.folder, self.work = folder, given
        self.runs: list[dict[str, Any]] = []
        self.rows: list[Row] = []
        self._count = 0

    def run(
        self, side: Side, found: Sequence[work.Trial], what: str, *,
        memory: bool = False, concurrency: int = 2, given: work.Work | None = None,
        every: float = 0.1,
    ) -> Measured:  # fmt: skip
        """One command of one side, store cold; kept among the runs."""
        given = given or self.work
        self._count += 1
        place = self.folder / f"{self._count:03d}-{side}"
        place.mkdir()
        listed = list(found)
        if side == "ours":
            space = work.space_file(given, listed, place / "bench.json", concurrency=concurrency)
            command = [sys.executable, "-m", "search.cli.main", "run", str(space)]
        else:
            recorded = work.save(listed, place / "trials.json")
            command = [
                sys.executable, str(HERE / f"{side}.py"), "--images", str(given.images),
                "--weights", str(given.weights), "--image-size", str(given.image_size),
                "--epochs", str(given.epochs), "--trials", str(recorded),
            ]  # fmt: skip
        env = {name: value for name, value in os.environ.items() if name != "SEARCH_STORAGE"}
        env |= {"SEARCH_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
        stores = (str(place / "cache"),)
        measured = run(command, folder=place, env=env, stores=stores, memory=memory, every=every)
        best, at = best_of(measured, side)
        self.runs.append(
            {
                "what": what, "side": side, "trials": len(listed), "wall": measured.wall,
                "cpu": measured.cpu, "peak_mb": measured.peak_mb, "best": best, "best_at": at,
                "cpu_by_command": {
                    name: round(seconds, 2)
                    for name, seconds in sorted(
                        measured.cpu_by_command.items(), key=lambda item: -item[1]
                    )[:12]
                },
            }
        )  # fmt: skip
        print(
            f"  {what}: {side}: {len(listed)} trials, {measured.wall:.1f} s wall, "
            f"{measured.cpu:.1f} CPU-s, best {best:.3f} after {at:.1f} s",
            flush=True,
        )
        return measured

    def row(self, figure: str, value: float, floor: float | None, *, most: bool = False) -> None:
        """``most``: the value should be at most the floor."""
        percent = "%" in figure
        show = f"{value:.0f} %" if percent else f"{value:.2f}x" if value < 10 else f"{value:.0f}x"
        good = None if floor is None else value <= floor if most else value >= floor
        unit = " %" if percent else "x"
        asked = "" if floor is None else f"{'at most ' if most else ''}{floor:g}{unit}"
        self.rows.append(Row(figure=figure, floor=asked, value=value, shown=show, good=good))


def best_of(measured: Measured, side: Side) -> tuple[float, float]:
    """Best validation score of a run, and when its line came."""
    pattern = OURS if side == "ours" else THEIRS
    seen = [
        (float(match.group(1)), at)
        for at, line in measured.lines
        if (match := pattern.search(line)) is not None
    ]
    if not seen:
        return 0.0, measured.wall
    best = max(value for value, _ in seen)
    return best, next(at for value, at in seen if value == best)


def ratio(rows: Sequence[dict[str, float]], over: str, under: str) -> float:
    return statistics.median(row[over] for row in rows) / statistics.median(
        row[under] for row in rows
    )


def alone(bench: Bench, *, repeats: int, small: Path | None) -> float:
    """Figures of single trials in one process.

    Returns:
        CPU-seconds of an epoch of ours with all blocks unfrozen.
    """
    command = [
        sys.executable, str(HERE / "alone.py"), "--folder", str(bench.work.folder),
        "--image-size", str(bench.work.image_size), "--epochs", str(bench.work.epochs),
        "--repeats", str(repeats),
    ]  # fmt: skip
    command += ["--quick"] if small is None else ["--small", str(small)]
    env = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    bench.runs.append({"what": "alone", **found})
    warm = "one more head-only trial, store warm: CPU of fit alone"
    bench.row(warm, ratio(found["head only, store warm"], "baseline", "ours"), 100)
    for depth in (0, 1):
        if rows := found.get(f"first trial, depth {depth}, store cold"):
            bench.row(
                f"the first trial alone (depth {depth}), store cold, CPU",
                ratio(rows, "baseline", "ours"),
                1.05,
            )
    bench.row("full unfreezing, CPU", ratio(found["full unfreezing"], "baseline", "ours"), 1.1)
    for depth in (1, 2, 5):
        if rows := [row for row in found["throughput"] if row["depth"] == depth]:
            bench.row(
                f"training throughput over the same suffix alone, depth {depth}, in %",
                100 * ratio(rows, "ours", "alone"),
                70,
            )
    if small is not None:
        rows = found["four times the images"]
        bench.row(
            "cost of 4x the images (depth 1), CPU", ratio(rows, "whole", "quarter"), 4.2, most=True
        )
    return statistics.median(row["ours"] for row in found["full unfreezing"]) / bench.work.epochs


def slope(bench: Bench, few: int, many: int, few_base: int, many_base: int) -> None:
    """Whole command, head only: what one more trial costs, all processes."""
    cost = {}
    sides: tuple[tuple[Side, int, int], ...] = (
        ("ours", few, many),
        ("baseline", few_base, many_base),
    )
    for side, low, high in sides:
        small = bench.run(side, work.trials(low, (0,), 1), "slope")
        large = bench.run(side, work.trials(high, (0,), 1), "slope")
        cost[side] = (large.cpu - small.cpu) / (high - low)
    bench.row(
        f"slope of the whole command, head only ({few} to {many} trials; baseline {few_base} to "
        f"{many_base}), CPU of all processes",
        cost["baseline"] / max(cost["ours"], 1e-9),
        40,
    )


def equal_work(bench: Bench, count: int, *, careful: bool) -> None:
    """Many trials of mixed depth, store cold, everything included."""
    found = work.trials(count, (0, 1, 2), 2)
    ours = bench.run("ours", found, "equal work")
    base = bench.run("baseline", found, "equal work")
    name = f"{count} trials of depth 0, 1, 2, store cold, everything included"
    bench.row(f"{name}, CPU", base.cpu / ours.cpu, 2.5)
    bench.row(f"{name}, wall", base.wall / ours.wall, 2.5)
    if careful:
        expert = bench.run("careful", found, "equal work")
        bench.row("the same over careful.py, CPU", expert.cpu / ours.cpu, 1.5)
        bench.row("the same over careful.py, wall", expert.wall / ours.wall, 1.5)


def until_best(bench: Bench, lists: int, count: int) -> None:
    """Wall time, start-up included, until each side has the best score of its list.

    The list of :func:`equal_work` is the first one.
    """
    long = {row["side"]: row["best_at"] for row in bench.runs if row["what"] == "equal work"}
    gains = [long["baseline"] / long["ours"]]
    sides: tuple[Side, Side] = ("ours", "baseline")
    for seed in range(lists):
        found = work.trials(count, (0, 1, 2), 10 + seed)
        at = {
            side: best_of(bench.run(side, found, "until best"), side)[1]
            for side in (sides if seed % 2 == 0 else sides[::-1])
        }
        gains.append(at["baseline"] / at["ours"])
    bench.row(
        f"time until the list's best score, start-up included, median of {len(gains)} lists "
        f"({', '.join(f'{gain:.1f}' for gain in gains)})",
        statistics.median(gains),
        3,
    )


def all_depths(bench: Bench, count: int) -> None:
    """Depths 0 to 5, and memory on the way."""
    found = work.trials(count, (0, 1, 2, 3, 4, 5), 3)
    ours = bench.run("ours", found, "depths 0 to 5", memory=True)
    base = bench.run("baseline", found, "depths 0 to 5", memory=True)
    bench.row(f"{count} trials of depths 0 to 5, CPU", base.cpu / ours.cpu, None)
    bench.row(
        "summed PSS of all processes over the baseline's, in %",
        100 * ours.peak_mb / base.peak_mb,
        60,
        most=True,
    )


def workers(bench: Bench, *, epoch: float) -> None:
    """Two trials at once over the first of them alone, from the first report to the last.

    Alone before and after, and their mean: the machine's speed drifts by as much as
    there is to see.

    Args:
        epoch: Seconds that one takes; a trial has so many that it takes over a minute.
    """
    epochs = math.ceil(70 / epoch)
    given = work.Work(folder=bench.work.folder, image_size=bench.work.image_size, epochs=epochs)

    def span(concurrency: int) -> float:
        measured = bench.run(
            "ours",
            work.trials(concurrency, (5,), 4),
            "workers",
            concurrency=concurrency,
            given=given,
            every=5.0,  # looking takes a core's time, which two workers do not leave over
        )
        seen = [at for at, line in measured.lines if OURS.search(line)]
        # The first report comes after one epoch: that epoch belongs to the span.
        return (seen[-1] - seen[0]) * epochs / (epochs - 1)

    before, both, after = span(1), span(2), span(1)
    bench.row(
        f"2 workers over 1, first to last report (one alone: {before:.0f} s, then {after:.0f} s)",
        (before + after) / both,
        1.8,
    )


def table(bench: Bench) -> str:
    lines = [
        "| figure (baseline over ours unless it says otherwise) | floor | measured |",
        "| --- | --- | --- |",
    ]
    for row in bench.rows:
        mark = "" if row.good is None else "" if row.good else " **(missed)**"
        lines.append(f"| {row.figure} | {row.floor or 'written down'} | {row.shown}{mark} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "bench.json")
    parser.add_argument("--quick", action="store_true", help="fewer trials; under 5 minutes")
    arguments = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        work.solar_cells(folder, train=240, val=60, test=150, seed=0)
        work.packaged_weights(folder)
        small = folder / "small"
        work.solar_cells(small, train=60, val=15, test=30, seed=0)
        bench = Bench(folder, work.Work(folder=folder, image_size=96, epochs=3))
        if arguments.quick:
            alone(bench, repeats=1, small=None)
            equal_work(bench, 6, careful=False)
        else:
            epoch = alone(bench, repeats=2, small=small)
            slope(bench, 10, 50, 2, 5)
            equal_work(bench, 48, careful=True)
            until_best(bench, 2, 9)
            all_depths(bench, 6)
            workers(bench, epoch=epoch)
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "seconds": time.perf_counter() - began,
        "quick": arguments.quick,
        "rows": [asdict(row) for row in bench.rows],
        "runs": bench.runs,
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(table(bench))
    print(f"{document['seconds'] / 60:.1f} minutes; every run is in {arguments.out}")


if __name__ == "__main__":
    main()
