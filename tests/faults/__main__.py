"""``make faults``: every fault of the table, made on purpose; exits 1 if anything was lost.

Jobs run side by side, three at a time: much of a run's time is waiting for Ray and
for workers to start. The longest begin first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests import postgres
from tests.faults.plan import Job, full_plan, short_plan
from tests.faults.row import Row
from tests.faults.table import Ran, markdown, ordered, text_table

ROOT = Path(__file__).parents[2]
AT_ONCE = 3


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    lacking = postgres.why_not()
    if lacking:
        print(lacking, file=sys.stderr)
        return 2
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="search-faults-"))
    with ExitStack() as stack:

        def server() -> postgres.Postgres:
            return stack.enter_context(postgres.running())

        planned = short_plan if options.short else full_plan
        jobs = planned(folder, server, files=options.files, seed=options.seed)
        if options.only:
            jobs = [job for job in jobs if job.name in options.only]
        rows = _run_all(jobs, began)
    ran = Ran(
        rows=ordered(rows),
        seconds=time.monotonic() - began,
        full=not options.short and not options.only,
        commit=_commit(),
        when=datetime.now(UTC).strftime("%Y-%m-%d"),
    )
    print(text_table(ran.rows))
    print(f"\n{'all hold' if ran.holds else 'NOT ALL HOLD'}, {ran.seconds / 60:.1f} minutes")
    if options.report:
        Path(options.report).write_text(markdown(ran), encoding="utf-8")
        document = json.dumps(ran.document(), indent=1, ensure_ascii=False)
        Path(options.report).with_suffix(".json").write_text(document + "\n", encoding="utf-8")
    if ran.holds and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"what the runs left: {folder}")
    return 0 if ran.holds else 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="about three minutes")
    parser.add_argument("--only", nargs="*", default=[], help="names of jobs")
    parser.add_argument("--files", type=int, default=2_000, help="malformed space files")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--report", help="a .md file to write; a .json is put beside it")
    parser.add_argument("--keep", action="store_true", help="keep what the runs left")
    return parser.parse_args(arguments)


def _run_all(jobs: list[Job], began: float) -> list[Row]:
    rows: list[Row] = []
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        running = {pool.submit(_guarded(job.run, job.name)): job for job in jobs}
        for done in as_completed(running):
            for row in done.result():
                rows.append(row)
                minutes, seconds = divmod(int(time.monotonic() - began), 60)
                state = "holds" if row.holds else "BROKEN"
                print(
                    f"{minutes:3}:{seconds:02}  {row.id:<4} {row.score:>10}  {state}  {row.fault}"
                )
                for fault in row.faults:
                    print(f"        {fault}")
                sys.stdout.flush()
    return _merged(rows)


def _guarded(run: Callable[[], list[Row]], name: str) -> Callable[[], list[Row]]:
    """A job whose own fault is a broken row, and not the end of the others."""

    def guarded() -> list[Row]:
        try:
            return run()
        except Exception:
            text = traceback.format_exc()
            return [
                Row(id="X0", fault=name, promise="", tried=1, survived=0, faults=(text[-1500:],))
            ]

    return guarded


def _merged(rows: list[Row]) -> list[Row]:
    """Rows of one fault that ran as several jobs, as one: counts are added."""
    merged: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row.id, row.fault)
        merged[key] = merged[key].plus(row) if key in merged else row
    return list(merged.values())


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
