"""The dashboard as a person sees it: a real browser, a real server, a live study."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from search.space.domains import Branch, FloatRange, Param, Space
from search.space.spec import DataSpec, SamplerSpec, StudySpec
from search.study.artifacts import FOLDERS, artifact_folder
from search.study.opening import StudyFacts, open_study
from search.study.record import Recorder
from search.study.records import Outcome, State

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WHY = "rung 1: 0.300 < 0.500, the cutoff of 2 earlier trials"


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        message = "chromium is not installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """A study with a complete, a pruned and a running trial, still open."""
    spec = StudySpec(
        name="orchids-in-bloom",
        data=DataSpec(path="images"),
        space=Space(
            params=(
                Param(
                    name="lr", branches=(Branch(domain=FloatRange(low=1e-4, high=1.0, log=True)),)
                ),
            )
        ),
        sampler=SamplerSpec(name="random"),
    )
    facts = StudyFacts(
        fingerprint="f",
        counts={"train": 6},
        classes=("a", "<script>document.title='no'</script>"),
        backbones=("small",),
        weights={"small": "s"},
        versions={"search": "0"},
    )
    opened = open_study(f"sqlite:///{tmp_path}/studies.db", spec, facts)
    for state, values, why in (
        (State.COMPLETE, (0.5, 0.8), "last epoch"),
        (State.PRUNED, (0.3,), WHY),
        (None, (0.4,), ""),
    ):
        asked = opened.ask()
        assert asked is not None
        for epoch, value in enumerate(values, start=1):
            opened.report(asked.number, epoch, value, {"metrics": {"loss": 1.0 - value}})
        if state is not None:
            opened.settle(asked.number, Outcome(state=state, why=why))
    yield opened
    opened.close()


@pytest.fixture
def address(recorder: Recorder, tmp_path: Path) -> Iterator[str]:
    """``search dashboard`` in a process of its own, while the recorder is open."""
    command = [
        *(sys.executable, "-m", "search.cli.main", "dashboard"),
        *("--storage", f"sqlite:///{tmp_path}/studies.db"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield found.group()
        process.terminate()


def page(chromium: str, address: str, profile: Path) -> str:
    """The page's document once its scripts have run."""
    done = subprocess.run(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            # No name but loopback resolves: the page must not need any other.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=15000",
            "--dump-dom",
            address,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_a_browser_shows_the_study_its_pruned_trial_and_what_is_added_while_it_runs(
    chromium: str, address: str, recorder: Recorder, tmp_path: Path
) -> None:
    front = page(chromium, f"{address}/", tmp_path / "profile")
    assert "orchids-in-bloom" in front
    trials = page(chromium, f"{address}/dashboard/studies/1/trials", tmp_path / "profile")
    text = re.sub(r"<[^>]+>", " ", trials)
    assert "Trial 1" in text
    assert "Pruned" in text
    assert "Running" in text
    pruned = page(chromium, f"{address}/dashboard/studies/1/trials?numbers=1", tmp_path / "profile")
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", pruned)).replace("&lt;", "<")
    assert WHY in shown
    recorder.set_result(FOLDERS, [str(tmp_path / "study")])
    folder = artifact_folder(tmp_path / "study", 2)
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 48), "white").save(folder / "curves.png")
    later = Outcome(state=State.PRUNED, why="later on")
    recorder.settle(2, later, files=("curves.png",))
    found = page(chromium, f"{address}/dashboard/studies/1/trials?numbers=2", tmp_path / "profile")
    assert "later on" in re.sub(r"<[^>]+>", " ", found)
    assert "curves.png" in found
    assert re.search(r'<img[^>]* src="/artifacts/1/\d+/[0-9a-f-]+"', found)
