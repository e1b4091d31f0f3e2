"""What commands say of a study's folder that holds the models of another study."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.export import export
from search.cli.options import SpaceFlags
from search.cli.plan import plan
from search.cli.status import status
from search.problems import Exit, SearchError
from search.study.opening import open_study
from search.study.owner import OWNER
from search.study.records import Outcome, State
from search.study.views import find
from search.tuning.belonging import refuse_anothers
from search.tuning.homes import settle_in
from tests.flowers import FACTS, SPEC


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEARCH_STORAGE", raising=False)
    return tmp_path / "studies" / "flowers"


def study(name: str, folder: Path | None) -> str:
    """The URL of a database with the study and one trial; ``folder`` becomes its own."""
    url = f"sqlite:///{Path.cwd()}/{name}.db"
    recorder = open_study(url, SPEC, FACTS)
    assert recorder.ask() is not None
    recorder.report(0, 1, 0.5, {})
    recorder.settle(0, Outcome(state=State.COMPLETE, why="last epoch"))
    if folder is not None:
        settle_in(recorder, folder, storage=url)
    recorder.close()
    return url


def refused(url: str) -> tuple[str, str]:
    with pytest.raises(SearchError) as caught:
        export("flowers", trial=None, to=None, storage=url)
    assert caught.value.status is Exit.CONFLICT
    (problem,) = caught.value.problems
    return problem.fact, problem.fix


@pytest.mark.slow
def test_models_of_another_database_are_offered_from_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = study("first", folder), study("second", None)
    fact, fix = refused(second)
    assert fact == f"{folder} holds the models of another study, flowers in {first}"
    assert fix == f"for the models there: search export flowers --storage {first}"
    status("flowers", trial=0, storage=second, json=False)
    assert f"not here: {fact}" in capsys.readouterr().out


@pytest.mark.slow
def test_models_of_a_study_that_is_gone_are_offered_from_nowhere(folder: Path) -> None:
    url = study("studies", folder)
    Path("studies.db").unlink()
    study("studies", None)
    assert refused(url) == (
        f"{folder} holds the models of an earlier study flowers, gone from {url}",
        "",
    )


@pytest.mark.slow
def test_a_damaged_owner_file_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = study("studies", folder)
    (folder / OWNER).write_text("{")
    fact, fix = refused(url)
    assert "owner.json is damaged" in fact
    assert fix == f"if it is this study's: rm {folder / OWNER}"
    status("flowers", trial=0, storage=url, json=False)
    assert "owner.json is damaged" in capsys.readouterr().out


@pytest.mark.slow
def test_a_plan_refuses_what_its_run_would(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = study("first", folder), study("second", None)
    space = Path("flowers.yaml")
    space.write_text("study: {name: flowers}\ndata: {sample: solar-cells}\nspace: {lr: 1e-3}\n")
    with pytest.raises(SearchError) as of_run:
        refuse_anothers(folder, "flowers", find(second, "flowers"), storage=second)
    with pytest.raises(SearchError) as of_plan:
        plan(space, SpaceFlags(storage=second), cluster=False)
    assert of_plan.value.status is of_run.value.status is Exit.CONFLICT
    assert of_plan.value.problems == of_run.value.problems
    with pytest.raises(SearchError) as both:
        plan(space, SpaceFlags(storage=second, data="nowhere"), cluster=False)
    assert both.value.status is Exit.DATA
    assert both.value.problems[-1] == of_run.value.problems[0]
    Path("damaged.db").write_text("no database")
    for url in (first, "sqlite:///damaged.db"):
        plan(space, SpaceFlags(storage=url), cluster=False)
        assert capsys.readouterr().out.startswith("flowers: ")
