"""The short version of ``make faults``: kills, crash points, outages, double starts, bad files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import postgres

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_short_version_of_make_faults_loses_nothing() -> None:
    if postgres.why_not():
        pytest.skip(postgres.why_not())
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--short"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    for id in ("R1", "R2", "R7", "R11", "R12", "S1"):
        assert f"\n{id} " in done.stdout
