"""Two studies in one SQLite file, run at the same time by two processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from search.study.records import State
from search.study.views import list_studies

_DRIVER = textwrap.dedent(
    """
    import sys
    from search.space.domains import Branch, FloatRange, Param, Space
    from search.space.spec import DataSpec, SamplerSpec, StudySpec
    from search.study.opening import StudyFacts, open_study
    from search.study.records import Outcome, State
    lr = Param(name="lr", branches=(Branch(domain=FloatRange(low=0.1, high=1.0)),))
    spec = StudySpec(
        name=sys.argv[2], data=DataSpec(path="images"), space=Space(params=(lr,)),
        sampler=SamplerSpec(name="random"),
    )
    facts = StudyFacts(
        fingerprint="f", counts={}, classes=(), backbones=(), weights={}, versions={}
    )
    recorder = open_study(sys.argv[1], spec, facts)
    for _ in range(15):
        asked = recorder.ask()
        for epoch in (1, 2, 3):
            recorder.report(asked.number, epoch, asked.point["lr"] / epoch, {"host": "h"})
        recorder.settle(asked.number, Outcome(state=State.COMPLETE, why="last epoch"))
    recorder.close()
    """
)


@pytest.mark.slow
def test_two_studies_share_a_database_and_each_keeps_all_its_results(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    drivers = [
        subprocess.Popen([sys.executable, "-c", _DRIVER, url, name]) for name in ("one", "two")
    ]
    assert [driver.wait(timeout=120) for driver in drivers] == [0, 0]
    studies = list_studies(url)
    assert {study.name for study in studies} == {"one", "two"}
    for study in studies:
        assert study.counts()[State.COMPLETE] == 15
        assert [trial.number for trial in study.trials] == list(range(15))
        assert all(len(trial.curve) == 3 for trial in study.trials)
