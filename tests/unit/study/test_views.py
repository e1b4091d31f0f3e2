"""Reading a storage that may be in use, or not there."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from search.problems import Exit, SearchError
from search.space.spec import StudySpec
from search.study.opening import StudyFacts, open_study
from search.study.records import FailReason, Outcome, State
from search.study.storage import connect
from search.study.transactions import together
from search.study.views import find, list_studies, view

Specify = Callable[..., StudySpec]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["accuracy", "loss"])
def test_a_view_of_the_file_is_the_recorders_own(
    url: str, specify: Specify, facts: StudyFacts, objective: str
) -> None:
    recorder = open_study(url, specify(objective=objective), facts)
    outcomes = [
        Outcome(state=State.COMPLETE, why="last epoch"),
        Outcome(state=State.PRUNED, why="rung 1"),
        Outcome(state=State.FAILED, why="gone", reason=FailReason.CRASHED, detail="a\nb"),
    ]
    for outcome in outcomes:
        asked = recorder.ask()
        assert asked is not None
        for epoch, value in ((1, 0.3), (2, 0.2)):
            recorder.report(
                asked.number, epoch, value, {"metrics": {"loss": float("nan")}, "seconds": 1.0}
            )
        recorder.settle(asked.number, outcome)
    running, waiting = recorder.ask(), recorder.ask()
    assert running is not None
    assert waiting is not None
    recorder.interrupt(waiting.number)
    recorder.add_seconds(3.0)
    seen = view(url)
    assert seen == recorder.view()
    assert list(seen.counts().values()) == [1, 1, 1, 1, 1]
    best = seen.winner
    assert best is not None
    assert (best.number, best.best_epoch) == (0, 1 if objective == "accuracy" else 2)
    assert best.attributes["metrics"] == {"loss": None}
    assert best.started is not None
    assert best.ended is not None
    assert best.ended >= best.started


def test_where_no_storage_is_there_are_no_studies_and_none_is_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none/studies.db"
    assert list_studies(url) == ()
    assert find(url, "study") is None
    with pytest.raises(SearchError, match="no studies yet") as caught:
        view(url)
    assert caught.value.status is Exit.USAGE
    assert caught.value.problems[0].fix == "search run spaces/quick.yaml"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_has_no_studies(url: str, tmp_path: Path) -> None:
    (tmp_path / "studies.db").touch()
    assert list_studies(url) == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    "made",
    [pytest.param(n, marks=[] if n in (1, 8, 15) else pytest.mark.slow) for n in range(1, 16)],
)
def test_a_crash_while_the_tables_are_made_leaves_no_study_and_the_next_run_makes_the_rest(
    tmp_path: Path, url: str, specify: Specify, facts: StudyFacts, made: int
) -> None:
    connect(f"sqlite:///{tmp_path}/whole.db")
    with closing(sqlite3.connect(tmp_path / "whole.db")) as whole:
        rows = whole.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    assert len(rows) >= 15
    with closing(sqlite3.connect(tmp_path / "studies.db")) as partial:
        for (statement,) in rows[:made]:
            partial.execute(statement)
    assert list_studies(url) == ()
    open_study(url, specify(), facts).close()
    assert find(url, specify().name) is not None


@pytest.mark.slow
def test_the_study_that_was_run_last_comes_first(
    url: str, specify: Specify, facts: StudyFacts
) -> None:
    for name in ("flowers", "birds", "flowers"):
        open_study(url, specify(name=name), facts).close()
        time.sleep(0.002)
    assert [study.name for study in list_studies(url)] == ["flowers", "birds"]
    assert view(url).name == "flowers"
    assert view(url, "birds").name == "birds"
    with pytest.raises(SearchError, match="no study 'bird'") as caught:
        view(url, "bird")
    assert caught.value.problems[0].fix == "did you mean birds?"
    with pytest.raises(SearchError) as caught:
        view(url, "cars")
    assert caught.value.problems[0].fix == "one of: flowers, birds"


@pytest.mark.slow
def test_another_programs_studies_are_not_shown(url: str) -> None:
    storage = connect(url)
    optuna.create_study(study_name="theirs", storage=storage)
    assert list_studies(url) == ()


@pytest.mark.slow
def test_reading_imports_nothing_heavy() -> None:
    heavy = "torch pandas plotly sklearn ray optuna numpy"
    script = (
        f"import sys, search.study.views; print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.thorough
def test_a_thousand_trials_are_read_in_well_under_a_second(
    url: str, specify: Specify, facts: StudyFacts
) -> None:
    recorder = open_study(url, specify(trials=1000), facts)
    storage = connect(url)
    study = storage.get_study_id_from_name("study")
    template = optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE,
        value=0.5,
        user_attrs={"point": {"lr": 0.1}, "why": "last epoch", "last": {"metrics": {"loss": 1.0}}},
        intermediate_values={epoch: epoch / 20 for epoch in range(1, 19)},
    )
    with together(storage):
        for _ in range(1000):
            storage.create_new_trial(study, template)
    recorder.close()
    began = time.perf_counter()
    assert len(view(url).trials) == 1000
    assert time.perf_counter() - began < 0.7
