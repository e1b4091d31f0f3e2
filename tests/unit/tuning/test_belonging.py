"""One folder, one study: two databases with a study of one name never share weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Barrier, Thread

import pytest

from search.problems import Exit, SearchError
from search.study.artifacts import FOLDERS
from search.study.opening import open_study
from search.study.owner import OWNER, UUID, owner_of
from search.study.record import Recorder
from search.study.records import Outcome, State, StudyView
from search.tuning.belonging import belongs, refuse_anothers
from search.tuning.homes import checkpoints_of, homes_of, settle_in
from search.tuning.job import TRIALS, trial_folder
from search.tuning.retention import tidy
from tests.flowers import FACTS, SPEC


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "studies" / "flowers"


def _url(tmp_path: Path, name: str) -> str:
    return f"sqlite:///{tmp_path}/{name}.db"


def _study(url: str, *, trials: int = 2, value: float = 0.5) -> Recorder:
    """A study whose trials are complete after one epoch."""
    recorder = open_study(url, SPEC, FACTS)
    for number in range(trials):
        assert recorder.ask() is not None
        recorder.report(number, 1, value + number / 10, {})
        recorder.settle(number, Outcome(state=State.COMPLETE, why="last epoch"))
    return recorder


def _weights(folder: Path, number: int, value: float | None = None) -> Path:
    """What a worker leaves of a trial after one epoch."""
    place = trial_folder(folder / TRIALS, number)
    place.mkdir(parents=True)
    (place / "best.safetensors").write_text(f"of {number}")
    if value is not None:
        curves = {"epochs": [{"metrics": {SPEC.objective: value}}]}
        (place / "curves.json").write_text(json.dumps(curves))
    return place


def _all(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _refused(recorder: Recorder, folder: Path, url: str) -> tuple[str, str]:
    """The refusal, which leaves the folder as it was."""
    before = _all(folder)
    with pytest.raises(SearchError) as caught:
        settle_in(recorder, folder, storage=url)
    assert caught.value.status is Exit.CONFLICT
    assert _all(folder) == before
    (problem,) = caught.value.problems
    return problem.fact, problem.fix


@pytest.mark.slow
def test_the_folder_of_another_databases_study_is_refused_and_left_as_it_is(
    tmp_path: Path, folder: Path
) -> None:
    first, second = _url(tmp_path, "first"), _url(tmp_path, "second")
    settle_in(_study(first), folder, storage=first)
    _weights(folder, 0)
    fact, fix = _refused(_study(second), folder, second)
    assert fact == f"{folder} holds the models of another study, flowers in {first}"
    assert fix == f"--name flowers-2, or, if those models are not needed: rm -r {folder}"


@pytest.mark.slow
def test_it_is_refused_before_the_second_study_is_made(tmp_path: Path, folder: Path) -> None:
    first, second = _url(tmp_path, "first"), _url(tmp_path, "second")
    settle_in(_study(first), folder, storage=first)
    (folder.parent / "flowers-2").mkdir()
    with pytest.raises(SearchError, match="--name flowers-3") as caught:
        refuse_anothers(folder, "flowers", None, storage=second)
    assert caught.value.status is Exit.CONFLICT


@pytest.mark.slow
def test_models_whose_database_is_gone_are_not_taken_over(tmp_path: Path, folder: Path) -> None:
    url = _url(tmp_path, "studies")
    recorder = _study(url)
    settle_in(recorder, folder, storage=url)
    _weights(folder, 0)
    recorder.close()
    (tmp_path / "studies.db").unlink()
    fact, fix = _refused(_study(url), folder, url)
    assert fact == f"{folder} holds the models of an earlier study flowers, gone from {url}"
    assert f"rm -r {folder}" in fix


@pytest.mark.slow
def test_a_study_goes_on_in_its_own_folder_wherever_that_was_moved(
    tmp_path: Path, folder: Path
) -> None:
    url = _url(tmp_path, "studies")
    recorder = _study(url)
    settle_in(recorder, folder, storage=url)
    kept = _weights(folder, 0)
    elsewhere = tmp_path / "elsewhere"
    folder.parent.rename(elsewhere)
    settle_in(recorder, elsewhere / "flowers", storage=_url(tmp_path, "renamed"))
    homes = homes_of(recorder.view(), elsewhere / "flowers")
    assert checkpoints_of(homes, 0) == elsewhere / "flowers" / kept.relative_to(folder)


@pytest.mark.slow
def test_a_crash_before_the_folder_is_taken_is_mended_by_the_next_run(
    tmp_path: Path, folder: Path
) -> None:
    url = _url(tmp_path, "studies")
    _study(url, trials=0).close()  # and the process ends here
    folder.mkdir(parents=True)
    (folder / f".{OWNER}.abc.part").write_text("half")
    again = _study(url, trials=0)
    settle_in(again, folder, storage=url)
    owner = owner_of(folder)
    assert owner is not None
    assert owner.uuid == again.view().attributes[UUID]


def _made_before(recorder: Recorder) -> StudyView:
    """The study as an earlier version left it."""
    view = recorder.view()
    old = {name: value for name, value in view.attributes.items() if name != UUID}
    return StudyView(
        name=view.name,
        objective=view.objective,
        direction=view.direction,
        trials=view.trials,
        attributes=old,
    )


@pytest.mark.slow
def test_a_folder_made_before_there_were_owners_is_adopted_where_its_trials_fit(
    tmp_path: Path, folder: Path
) -> None:
    url = _url(tmp_path, "studies")
    recorder = _study(url, value=0.5)
    _weights(folder, 0, 0.5)
    _weights(folder, 1)
    assert belongs(folder, _made_before(recorder))
    settle_in(recorder, folder, storage=url)
    owner = owner_of(folder)
    assert owner is not None
    assert (owner.study, owner.storage) == ("flowers", url)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "value"),
    [
        pytest.param(0, 0.25, id="other_figures"),
        pytest.param(7, None, id="no_such_trial"),
    ],
)
def test_a_folder_without_an_owner_is_refused_where_its_trials_do_not_fit(
    tmp_path: Path, folder: Path, number: int, value: float | None
) -> None:
    url = _url(tmp_path, "studies")
    recorder = _study(url, value=0.5)
    _weights(folder, number, value)
    assert not belongs(folder, _made_before(recorder))
    fact, _ = _refused(recorder, folder, url)
    assert fact == f"{folder} holds trials that are not those of flowers in {url}"


@pytest.mark.slow
@pytest.mark.parametrize("left", ["trials/00000", "artifacts/00000", "test/seen", "export"])
def test_a_new_study_takes_no_folder_in_which_models_are_left(
    tmp_path: Path, folder: Path, left: str
) -> None:
    (folder / left).mkdir(parents=True)
    _refused(_study(_url(tmp_path, "new"), trials=0), folder, _url(tmp_path, "new"))
    with pytest.raises(SearchError, match="an earlier study, which is not in"):
        refuse_anothers(folder, "flowers", None, storage=_url(tmp_path, "new"))


@pytest.mark.slow
def test_a_new_study_takes_a_folder_of_other_things(tmp_path: Path, folder: Path) -> None:
    (folder / TRIALS).mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    settle_in(_study(_url(tmp_path, "new")), folder, storage=_url(tmp_path, "new"))
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_damaged_owner_file_is_nobodys(tmp_path: Path, folder: Path) -> None:
    url = _url(tmp_path, "studies")
    recorder = _study(url)
    settle_in(recorder, folder, storage=url)
    (folder / OWNER).write_text("{")
    fact, fix = _refused(recorder, folder, url)
    assert "owner.json is damaged" in fact
    assert f"if it is this study's: rm {folder / OWNER}" in fix
    (folder / OWNER).unlink()
    settle_in(recorder, folder, storage=url)


@pytest.mark.slow
def test_weights_in_an_earlier_folder_that_another_study_took_are_not_found_nor_deleted(
    tmp_path: Path, folder: Path
) -> None:
    first, second = _url(tmp_path, "first"), _url(tmp_path, "second")
    moved = tmp_path / "moved" / "flowers"
    one, two = _study(first), _study(second)
    settle_in(one, folder, storage=first)
    settle_in(one, moved, storage=first)
    (folder / OWNER).unlink()
    settle_in(two, folder, storage=second)
    kept = _weights(folder, 0)
    view = one.view()
    assert view.attributes[FOLDERS] == [str(folder), str(moved)]
    homes = homes_of(view, moved)
    assert homes == (moved,)
    assert checkpoints_of(homes, 0) != kept
    assert tidy(view, (moved, folder), 0, None) == ()
    assert kept.is_dir()


@pytest.mark.slow
def test_of_two_databases_that_start_at_once_one_gets_the_folder(
    tmp_path: Path, folder: Path
) -> None:
    urls = [_url(tmp_path, f"at-once-{number}") for number in range(4)]
    studies = [_study(url, trials=0) for url in urls]
    together, refused = Barrier(len(urls)), []

    def start(recorder: Recorder, url: str) -> None:
        together.wait()
        try:
            settle_in(recorder, folder, storage=url)
        except SearchError as error:
            refused.append(error.status)

    threads = [Thread(target=start, args=pair) for pair in zip(studies, urls, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [Exit.CONFLICT] * 3
    assert os.listdir(folder) == [OWNER]
    owner = owner_of(folder)
    uuids = [recorder.view().attributes[UUID] for recorder in studies]
    assert owner is not None
    assert owner.uuid in uuids
