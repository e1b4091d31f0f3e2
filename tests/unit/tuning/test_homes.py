"""Another checkpoints.dir: no weights are lost, none are trained twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage

from search.problems import Exit, SearchError
from search.study.artifacts import FOLDERS
from search.study.opening import open_in
from search.study.record import Recorder
from search.study.records import Outcome, State
from search.tuning.homes import bring, checkpoints_of, homes_of, settle_in
from search.tuning.job import TRIALS, trial_folder
from search.tuning.retention import tidy
from tests.flowers import FACTS, SPEC

STORAGE = "sqlite:///studies.db"


@pytest.fixture
def recorder() -> Recorder:
    """Trial 0 complete, trial 1 pruned, trial 2 waiting after one epoch."""
    storage = InMemoryStorage()
    made = open_in(storage, SPEC, FACTS)
    for number in range(3):
        assert made.ask() is not None
        made.report(number, 1, 0.9 - number / 10, {})
    made.settle(0, Outcome(state=State.COMPLETE, why="last epoch"))
    made.settle(1, Outcome(state=State.PRUNED, why="rung 1"))
    return open_in(storage, SPEC, FACTS)


def _write(home: Path, number: int, *names: str) -> Path:
    folder = trial_folder(home / TRIALS, number)
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.safetensors").write_text(f"{number} {name}")
    return folder


def test_a_study_remembers_every_folder_and_looks_into_the_current_one_first(
    recorder: Recorder, tmp_path: Path
) -> None:
    first, second = tmp_path / "a" / "flowers", tmp_path / "b" / "flowers"
    settle_in(recorder, first, storage=STORAGE)
    settle_in(recorder, second, storage=STORAGE)
    assert homes_of(recorder.view(), second) == (second, first)
    settle_in(recorder, first, storage=STORAGE)
    assert recorder.view().attributes[FOLDERS] == [str(second), str(first)]
    assert homes_of(recorder.view(), first) == (first, second)


def test_weights_of_settled_trials_stay_and_are_found_and_a_waiting_trial_moves(
    recorder: Recorder, tmp_path: Path
) -> None:
    old, new = tmp_path / "old" / "flowers", tmp_path / "new" / "flowers"
    settle_in(recorder, old, storage=STORAGE)
    kept = _write(old, 0, "best", "last")
    goes_on = _write(old, 2, "best", "last", "last.previous")
    settle_in(recorder, new, storage=STORAGE)
    homes = homes_of(recorder.view(), new)
    assert checkpoints_of(homes, 0) == kept
    moved = checkpoints_of(homes, 2)
    assert moved == trial_folder(new / TRIALS, 2)
    assert sorted(os.listdir(moved)) == [
        "best.safetensors",
        "last.previous.safetensors",
        "last.safetensors",
    ]
    assert (moved / "last.safetensors").read_text() == "2 last"
    assert not goes_on.exists()
    assert os.listdir(new / TRIALS) == ["00002"]
    assert checkpoints_of(homes, 7) == trial_folder(new / TRIALS, 7)


def test_a_move_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    _write(old, 2, "last")
    part = new / TRIALS / ".00002.part"
    part.mkdir(parents=True)
    (part / "last.safetensors").write_text("half")
    trial_folder(new / TRIALS, 2).mkdir()  # made by a trial that wrote nothing
    bring((new, old), [2])
    assert os.listdir(new / TRIALS) == ["00002"]
    assert (trial_folder(new / TRIALS, 2) / "last.safetensors").read_text() == "2 last"


def test_a_folder_that_takes_nothing_is_said_and_the_old_files_stay(
    recorder: Recorder, tmp_path: Path
) -> None:
    old, new = tmp_path / "old" / "flowers", tmp_path / "new" / "flowers"
    settle_in(recorder, old, storage=STORAGE)
    goes_on = _write(old, 2, "last")
    new.mkdir(parents=True)
    (new / TRIALS).write_text("a file where a folder must be")
    with pytest.raises(SearchError, match="checkpoints cannot be moved to") as caught:
        settle_in(recorder, new, storage=STORAGE)
    assert caught.value.status is Exit.STORAGE
    assert (goes_on / "last.safetensors").exists()


def test_a_settled_trial_keeps_its_best_weights_alone_and_one_that_goes_on_keeps_all(
    recorder: Recorder, tmp_path: Path
) -> None:
    home = tmp_path / "flowers"
    settle_in(recorder, home, storage=STORAGE)
    for number in (0, 1, 2):
        _write(home, number, "best", "last", "last.previous")
    settled, waits = trial_folder(home / TRIALS, 0), trial_folder(home / TRIALS, 2)
    (settled / ".last.77.part").write_text("half, of a worker that was killed")
    (settled / "curves.json").write_text("{}")
    view = recorder.view()
    for _ in range(2):  # again after a crash in between
        tidy(view, homes_of(view, home), 2, None)
        assert sorted(os.listdir(settled)) == ["best.safetensors", "curves.json"]
        assert len(os.listdir(waits)) == 3
        (settled / "last.previous.safetensors").write_text("left by a crash")
    tidy(view, homes_of(view, home), 2, None)
    assert checkpoints_of(homes_of(view, home), 0) == settled


def test_what_is_not_kept_is_deleted_wherever_it_is(recorder: Recorder, tmp_path: Path) -> None:
    old, new = tmp_path / "old" / "flowers", tmp_path / "new" / "flowers"
    settle_in(recorder, old, storage=STORAGE)
    kept, dropped = _write(old, 0, "best"), _write(old, 1, "best")
    settle_in(recorder, new, storage=STORAGE)
    view = recorder.view()
    assert tidy(view, homes_of(view, new), 1, None) == (1,)
    assert kept.exists()
    assert not dropped.exists()
