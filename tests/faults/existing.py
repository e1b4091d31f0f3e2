"""Rows whose thorough tests exist already: they are run, and their cases counted."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.row import Row

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """A row made of tests: files, with words of the names where not all are meant."""

    id: str
    fault: str
    promise: str
    tests: tuple[tuple[str, tuple[str, ...]], ...]
    """(file below tests/, words of which a test's name has one; none for all of it)."""


UNIT = (
    Cases(
        id="R9",
        fault="disk full: database, checkpoint, decoded images (each call refused in turn)",
        promise="the old files still load; half-written files 0",
        tests=(
            ("unit/training/test_checkpoint.py", ("disk_refuses",)),
            ("contract/test_storage_away.py", ("full_disk",)),
            ("contract/test_recorder_crashes.py", ("call_that_failed",)),
            ("unit/data/test_store.py", ("too_full", "fills")),
        ),
    ),
    Cases(
        id="R17",
        fault="checkpoints: every byte's bits, every length, a stranger's, a pickle",
        promise="refused; the one before is used",
        tests=(
            (
                "unit/training/test_checkpoint.py",
                ("flipped", "truncated", "stranger", "pickle", "missing", "one_before"),
            ),
            ("unit/training/test_resume.py", ()),
        ),
    ),
    Cases(
        id="S2",
        fault="a pickle posing as weights (.pt, .safetensors, .npy)",
        promise="refused, nothing run",
        tests=(
            ("unit/backbones/test_files.py", ("pickle", "objects")),
            ("unit/training/test_checkpoint.py", ("pickle",)),
            ("unit/export/test_predict.py", ("damaged_weights",)),
            ("unit/data/test_store.py", ("pickle",)),
        ),
    ),
    Cases(
        id="S4",
        fault="odd images: CMYK, 16-bit, animated, EXIF, bombs, cut short, any byte flipped",
        promise="decoded rightly, or a bad image with its reason",
        tests=(
            ("unit/data/test_decode.py", ()),
            ("unit/data/test_folder.py", ("link", "utf8", "hostile")),
        ),
    ),
    Cases(
        id="S5",
        fault="paths that escape (manifest, links, study name, export folder)",
        promise="refused",
        tests=(
            ("unit/data/test_csv_manifest.py", ("escapes", "leads_out", "dots")),
            ("unit/data/test_folder.py", ("link",)),
        ),
    ),
    Cases(
        id="S6",
        fault="class names with =cmd, <script>, escape codes, |",
        promise="escaped in CSV, HTML, Markdown, terminal",
        tests=(
            ("unit/cli/test_evil_names.py", ()),
            ("unit/export/test_escape.py", ()),
            ("unit/export/test_card.py", ()),
            ("unit/test_problems.py", ()),
        ),
    ),
    Cases(
        id="S7",
        fault="a password in the storage URL (messages, places, documents)",
        promise="*** everywhere",
        tests=(
            ("unit/space/test_secrets.py", ()),
            ("unit/study/test_storage.py", ("password",)),
            ("unit/space/test_reader.py", ("password",)),
            ("unit/tuning/test_conductor.py", ("pickled",)),
        ),
    ),
    Cases(
        id="S8",
        fault="dashboards reached from outside",
        promise="loopback only, foreign Host refused, read-only",
        tests=(("unit/study/test_dashboard_guard.py", ()),),
    ),
)
REAL = (
    Cases(
        id="R4",
        fault="a node disappears (two real Ray nodes)",
        promise="its trials go on elsewhere",
        tests=(("e2e/test_deaths.py", ("node_is_gone",)),),
    ),
    Cases(
        id="R14",
        fault="out of memory (a real limit, and Ray's memory monitor)",
        promise="once more with half the micro-batch, then FAIL, out_of_memory; the study finishes",
        tests=(
            ("e2e/test_deaths.py", ("memory_monitor",)),
            ("e2e/test_memory.py", ()),
        ),
    ),
)


def run_cases(rows: tuple[Cases, ...]) -> list[Row]:
    """Run the tests of all rows in one pytest, and count the cases of each."""
    began = time.monotonic()
    wanted = {row: _nodes(row) for row in rows}
    ran = _cases(sorted({node for nodes in wanted.values() for node in nodes}))
    seconds = time.monotonic() - began
    return [_row(row, nodes, ran, seconds) for row, nodes in wanted.items()]


def _row(row: Cases, nodes: list[str], ran: dict[str, list[str]], seconds: float) -> Row:
    faults = [f"{node}: no case was run" for node in nodes if not ran.get(node)]
    faults += [] if nodes else ["none of its tests was found"]
    cases = [wrong for node in nodes for wrong in ran.get(node, ())]
    broken = [wrong for wrong in cases if wrong]
    return Row(
        id=row.id,
        fault=row.fault,
        promise=row.promise,
        tried=len(cases) or 1,
        survived=len(cases) - len(broken),
        figures=f"{len(cases)} cases in tests/{', '.join(file for file, _ in row.tests)}",
        faults=tuple([*faults, *broken][:20]),
        seconds=seconds,
    )


def _nodes(row: Cases) -> list[str]:
    """``file::test`` of each test that is meant; a file's names are read from its text."""
    nodes = []
    for file, words in row.tests:
        names = re.findall(r"^def (test_\w+)", (TESTS / file).read_text("utf-8"), re.MULTILINE)
        found = [name for name in names if not words or any(word in name for word in words)]
        nodes += [f"{file}::{name}" for name in found]
    return nodes


def _cases(nodes: list[str]) -> dict[str, list[str]]:
    """What went wrong in each case of each test, empty where nothing; skipped ones are none."""
    ran: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(f"--junitxml={report}", *(f"tests/{node}" for node in nodes)),
            ],
            cwd=TESTS.parent,
            capture_output=True,
            check=False,
        )
        if not report.exists():
            return {}
        for case in ElementTree.parse(report).iter("testcase"):
            if case.find("skipped") is not None:
                continue
            file = str(case.get("classname")).removeprefix("tests.").replace(".", "/") + ".py"
            name = str(case.get("name"))
            wrong = [each for each in case if each.tag in ("failure", "error")]
            text = f"{file}::{name}: {(wrong[0].text or 'failed')[-300:]}" if wrong else ""
            ran.setdefault(f"{file}::{name.partition('[')[0]}", []).append(text)
    return ran
