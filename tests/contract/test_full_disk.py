"""A disk without room: said with path and free bytes, nothing half written, and the
same calls work once there is room."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.problems import Exit, SearchError
from search.space.domains import Branch, FloatRange, Param, Space
from search.space.spec import DataSpec, SamplerSpec, StudySpec
from search.study.opening import StudyFacts, open_in
from search.study.records import Outcome, State
from search.study.storage import StorageAway, connect
from search.study.views import view
from tests.disks import SmallDisk, small_disk

pytestmark = pytest.mark.slow

SPEC = StudySpec(
    name="study",
    data=DataSpec(path="images"),
    space=Space(params=(Param(name="lr", branches=(Branch(domain=FloatRange(low=0.1, high=1)),)),)),
    sampler=SamplerSpec(name="random"),
)
FACTS = StudyFacts(
    fingerprint="f", counts={}, classes=("a", "b"), backbones=("small",), weights={}, versions={}
)
DONE = Outcome(state=State.COMPLETE, why="the last epoch")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.mark.parametrize("pages", [0, 1, 3, 20])
def test_a_full_disk_under_the_database_leaves_what_was_committed_and_no_half(
    disk: SmallDisk, pages: int
) -> None:
    file = disk.folder / "studies.db"
    url = f"sqlite:///{file}"
    recorder = open_in(connect(url), SPEC, FACTS, url=url)
    asked = recorder.ask()
    assert asked is not None
    disk.leave(pages)
    reached = 0

    def report() -> None:
        nonlocal reached
        while reached < 3000:
            reached += 1
            recorder.report(asked.number, reached, reached / 1e4, {"host": "h" * 2000})

    with pytest.raises(SearchError) as caught:
        report()
    assert caught.value.status is Exit.STORAGE
    assert not isinstance(caught.value, StorageAway), "a full disk is not waited for"
    said = rf"{re.escape(str(file))} cannot be written: its disk is full, \d+ bytes free"
    assert re.search(said, str(caught.value)), caught.value
    committed = dict(view(url).trials[0].curve)
    assert committed == {each: each / 1e4 for each in range(1, reached)}
    disk.make_room()
    recorder.report(asked.number, reached, reached / 1e4, {"host": "h"})  # the same call
    recorder.settle(asked.number, DONE)
    recorder.close()
    trial = view(url).trials[0]
    assert trial.state is State.COMPLETE
    assert sorted(trial.curve) == list(range(1, reached + 1))


SPACE = str(Path(__file__).parents[2] / "spaces" / "quick.yaml")


@pytest.mark.parametrize("command", [["plan", SPACE], ["--help"], ["run", "--help"]])
@pytest.mark.parametrize("errors", ["shown", "to the same disk"])
def test_an_output_without_room_is_said_and_no_traceback(errors: str, command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "search.cli.main", *command],
            stdout=full,
            stderr=subprocess.PIPE if errors == "shown" else full,
            text=True,
            check=False,
        )
    assert done.returncode == Exit.STORAGE
    if errors == "shown":
        assert done.stderr.startswith("error: /dev/full cannot be written: its disk is full, ")
        assert "Traceback" not in done.stderr
