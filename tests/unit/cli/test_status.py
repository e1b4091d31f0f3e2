"""What ``search status`` shows of a study."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search.cli.options import SpaceFlags
from search.cli.started import STARTED, going_on, started
from search.cli.status_document import (
    measuring,
    studies_document,
    study_document,
    trial_document,
)
from search.cli.status_view import studies_lines, study_lines, trial_lines
from search.cli.studies import find_trial
from search.problems import SearchError
from search.study.holder import find_holder
from search.study.lease import Lease
from search.study.records import EXHAUSTED, State, StudyView

STORAGE = "sqlite:////home/me/studies/studies.db"


def test_all_studies_on_a_line_each(study: StudyView, golden: Callable[[str, str], None]) -> None:
    other = replace(study, name="flowers", trials=(), attributes={})
    lines = studies_lines([study, other], storage=STORAGE, flag="")
    golden("status_studies.txt", "\n".join(lines))


def test_one_study(study: StudyView, golden: Callable[[str, str], None]) -> None:
    golden("status_study.txt", "\n".join(study_lines(study, storage=STORAGE, flag="")))


def _with_more(study: StudyView) -> StudyView:
    """The study with as many settings as a real one has."""
    more = {"backbone_lr_scale": 0.123, "augmentation": "light", "dropout": 0.4, "lr": 0.00123}
    trials = tuple(
        replace(trial, params={**trial.params, **more, "weight_decay": 0.01 * trial.number})
        for trial in study.trials
    )
    return replace(study, trials=trials, name="a-study-of-many-solar-cells")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_no_line_is_longer_and_settings_that_give_way_are_counted(
    study: StudyView, width: int
) -> None:
    wide = _with_more(study)
    lines = study_lines(wide, storage=STORAGE, flag="", width=width)
    assert [line for line in lines if len(line) > width] == []
    start = lines.index("leaderboard, complete trials first")
    assert ("  +" in lines[start + 2]) == (width < 120)
    assert "0.700" in lines[start + 2]
    whole = study_lines(wide, storage=STORAGE, flag="")
    assert "weight_decay 0.01" in whole[whole.index(lines[start]) + 3]


@pytest.mark.parametrize("width", [72, 80, 120])
def test_on_a_terminal_all_studies_fit_without_states_that_no_trial_is_in(
    study: StudyView, width: int
) -> None:
    done = replace(study, trials=study.trials[:1], name="a-study-of-solar-cells")
    lines = studies_lines([done], storage=STORAGE, flag="", width=width)
    assert [line for line in lines if len(line) > width] == []
    assert "complete" in lines[0]
    assert ("waiting" in lines[0]) == (width == 120)


def test_a_trial_shows_what_its_worker_had_to_say_and_why_it_ended_below_themselves(
    study: StudyView,
) -> None:
    note = "resnet18 at 32 px, behind block 5 of 5: computing takes 5.06 ms an image: stored"
    attributes = {**study.trials[1].attributes, "notes": [note]}
    trial = replace(study.trials[1], attributes=attributes, why="rung 1: " + "very long " * 9)
    assert f"  {note}" in trial_lines(study, trial, flag="")
    lines = trial_lines(study, trial, flag="", width=60)
    assert [line for line in lines if len(line) > 60] == []
    place = lines.index("notes")
    assert lines[place + 2].startswith("    ")
    assert " ".join(" ".join(lines[place + 1 : place + 3]).split()) == note


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_one_trial(study: StudyView, number: int, golden: Callable[[str, str], None]) -> None:
    lines = trial_lines(study, study.trials[number], flag="")
    golden(f"status_trial_{number}.txt", "\n".join(lines))


def test_a_trial_without_weights_is_not_offered_for_export(study: StudyView) -> None:
    why = "not kept: only those of the best 3 trials and of the default settings are"
    text = "\n".join(trial_lines(study, study.trials[0], flag="", no_weights=why))
    assert "search export" not in text
    assert f"weights      {why}" in text


def test_a_waiting_trial_shows_its_best_and_the_augmentation_is_shown_though_it_is_one(
    study: StudyView,
) -> None:
    trials = tuple(
        replace(trial, params={**trial.params, "augmentation": "light"}) for trial in study.trials
    )
    waits = replace(trials[4], curve={1: 0.7, 2: 0.6}, best_value=0.7, best_epoch=1)
    lines = study_lines(replace(study, trials=(*trials[:4], waits)), storage=STORAGE, flag="")
    row = next(line for line in lines if line.split()[:2] == ["4", "waiting"])
    assert row.split()[2:5] == ["0.600", "2", "0.700"]
    assert row.endswith("augmentation light")


def test_a_study_that_runs_says_where_and_how_to_end_it(study: StudyView, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    with Lease(url, study.name):
        driver = find_holder(url, study.name)
    assert driver is not None
    text = "\n".join(study_lines(study, storage=STORAGE, flag="", driver=driver))
    assert f"on {socket.gethostname()}, pid {os.getpid()}, since " in text
    assert f"search stop {study.name}" in text
    document = study_document(study, storage=STORAGE, driver=driver)
    assert document["driver"]["pid"] == os.getpid()
    assert study_document(study, storage=STORAGE)["driver"] is None
    assert "search stop" not in "\n".join(study_lines(study, storage=STORAGE, flag=""))


def test_a_study_whose_trials_are_over_says_that_its_run_measures_until_it_has(
    study: StudyView, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    with Lease(url, study.name):
        driver = find_holder(url, study.name)

    def text(view: StudyView) -> str:
        return "\n".join(study_lines(view, storage=STORAGE, flag="", driver=driver))

    what = "; measures the best trial on the test set"
    used = {**study.attributes, "space": {"budget": {"trials": 3, "minutes": None}}}
    over = replace(study, trials=study.trials[:3], attributes=used)
    assert what in text(over)
    assert what not in text(study)
    assert what not in text(replace(over, trials=study.trials[:2]))
    assert not measuring(replace(over, attributes={**used, "results": {"trial": 0}}))
    assert measuring(replace(over, attributes={**used, "results": {"trial": 1}}))


@pytest.mark.parametrize(
    ("budget", "more"),
    [
        pytest.param({"trials": None, "minutes": 1}, {}, id="minutes"),
        # The best is the first of three.
        pytest.param({"trials": None, "stop_after": 2}, {}, id="stop_after"),
        pytest.param({"trials": None}, {EXHAUSTED: True}, id="exhausted"),
    ],
)
def test_a_run_measures_whatever_ended_its_search_and_not_while_a_trial_runs(
    study: StudyView, budget: dict[str, int | None], more: dict[str, bool]
) -> None:
    attributes = {**study.attributes, **more, "space": {"budget": budget}}
    # A trial that ran when the minutes were used up waits; a space with one is not exhausted.
    waits = () if more else study.trials[4:]
    over = replace(study, trials=(*study.trials[:3], *waits), attributes=attributes)
    assert measuring(over)
    assert not measuring(replace(over, trials=study.trials[:4]))
    assert not measuring(replace(over, attributes={"space": {"budget": {"trials": 9}}}))


def test_an_interrupted_study_says_the_command_that_goes_on(
    study: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = SpaceFlags(name="solar-cells", storage="postgresql://me:hunter2@host/db")
    attributes = {**study.attributes, STARTED: started(Path("my spaces/solar.yaml"), flags)}
    cut = replace(study, attributes=attributes)

    def text(view: StudyView) -> str:
        lines = study_lines(view, storage=STORAGE, flag="", going_on=going_on(view))
        return "\n".join(lines)

    assert "search run" not in text(cut)
    assert "to go on  my spaces/solar.yaml is needed, which is not there" in text(cut)
    (tmp_path / "my spaces").mkdir()
    (tmp_path / "my spaces" / "solar.yaml").touch()
    again = "search run 'my spaces/solar.yaml' --name solar-cells --storage 'postgresql://me:"
    assert again in text(cut)
    assert "hunter2" not in text(cut)
    assert "to go on" not in text(cut)
    assert "search run" not in text(study)  # a record of before says no file
    over = {**attributes, "space": {"budget": {"trials": 3}}}
    unmeasured = replace(cut, trials=study.trials[:3], attributes=over)
    assert again in text(unmeasured)
    assert going_on(replace(unmeasured, attributes={**over, "results": {"trial": 0}})) is None


def test_no_study_suggests_the_first_command() -> None:
    text = "\n".join(studies_lines([], storage=STORAGE, flag=""))
    assert text.startswith(f"no study in {STORAGE}")
    assert "search run spaces/quick.yaml" in text


def test_suggested_commands_find_the_same_storage(study: StudyView) -> None:
    text = "\n".join(study_lines(study, storage=STORAGE, flag=" --storage sqlite:///x.db"))
    assert "search export solar-cells --storage sqlite:///x.db" in text


def test_nothing_in_a_study_can_move_the_cursor(study: StudyView) -> None:
    hostile = replace(study, name="\x1b[2Jstudy")
    for trial in hostile.trials:
        text = "\n".join(
            [
                *studies_lines([hostile], storage=STORAGE, flag=""),
                *study_lines(hostile, storage=STORAGE, flag=""),
                *trial_lines(hostile, trial, flag=""),
            ]
        )
        assert "\x1b" not in text


def test_documents_are_json_without_nan(study: StudyView) -> None:
    broken = replace(study.trials[0], curve={1: float("nan"), 2: 0.5})
    view = replace(study, trials=(broken, *study.trials[1:]))
    for document in (
        studies_document([view], storage=STORAGE),
        study_document(view, storage=STORAGE),
        trial_document(view, broken, storage=STORAGE),
    ):
        json.dumps(document, allow_nan=False)
    assert trial_document(view, broken, storage=STORAGE)["curve"] == [[1, None], [2, 0.5]]


def test_the_document_of_a_study_holds_what_a_script_asks_for(study: StudyView) -> None:
    document = study_document(study, storage=STORAGE)
    assert document["counts"] == {
        "complete": 1,
        "pruned": 1,
        "failed": 1,
        "running": 1,
        "waiting": 1,
    }
    assert (document["best"]["trial"], document["best"]["value"]) == (0, 0.7)
    assert document["failures"] == {"diverged": 1}
    assert document["budget"] == {"trials": 12, "minutes": 5}
    assert [row["trial"] for row in document["leaderboard"]] == [0, 1]
    assert [row["trial"] for row in document["running"]] == [3]


def test_a_trial_document_has_defaults_under_settings_only(study: StudyView) -> None:
    document = trial_document(study, study.trials[0], storage=STORAGE)
    assert "dropout" not in document["params"]
    assert document["settings"]["dropout"] == 0.2
    assert document["started"] == "2026-01-02T03:04:05+00:00"


def test_a_long_curve_is_thinned_but_keeps_its_best(study: StudyView) -> None:
    curve = {epoch: epoch / 200 for epoch in range(1, 151)} | {77: 0.99}
    long = replace(study.trials[0], curve=curve, best_epoch=77, best_value=0.99)
    text = trial_lines(study, long, flag="")
    epochs = next(line for line in text if line.strip().startswith("epoch"))
    assert {"1", "77", "150"} <= set(epochs.split())
    assert len(epochs.split()) <= 16


def test_a_number_that_is_no_trial_names_those_there_are(study: StudyView) -> None:
    with pytest.raises(SearchError, match="solar-cells has no trial 9") as caught:
        find_trial(study, 9)
    assert caught.value.problems[0].fix == "a number from 0 to 4"


def test_every_state_is_a_row_of_the_fixture(study: StudyView) -> None:
    assert {trial.state for trial in study.trials} == set(State)
