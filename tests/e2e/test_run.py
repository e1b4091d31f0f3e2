"""``search run`` from images to a model that predicts, and again, and on."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.data.manifest import load_table
from search.study.views import find
from tests.e2e.workplace import Workplace, draw_images

pytestmark = pytest.mark.slow

SHOWN = {
    f"{name}.{kind}"
    for name in ("curves", "confusion_matrix", "worst_errors")
    for kind in ("png", "json")
}
"""Files of a trial that tells one class an image."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workplace, Any]]:
    """A place with a finished study, and what its run printed; made once, not to be changed."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    draw_images(place.folder / "images")
    place.space()
    yield place, place.search_json()
    place.end_all()


def test_a_search_ends_with_a_model_whose_test_figure_predict_reproduces(
    finished: tuple[Workplace, Any], tmp_path: Path
) -> None:
    workplace, document = finished
    assert set(document) == {
        "study",
        "counts",
        "best",
        "baselines",
        "storage",
        "seconds",
        "command_seconds",
    }
    counts = document["counts"]
    assert set(counts) == {"complete", "pruned", "failed", "running", "waiting"}
    assert counts["complete"] + counts["pruned"] == 3
    best = document["best"]
    assert {"trial", "value", "epoch", "params", "test"} <= set(best)
    assert set(document["baselines"]) == {"default", "linear_probe"}

    export = workplace.folder / "studies" / "tiny" / "export"
    assert sorted(file.name for file in export.iterdir()) == [
        "README.md",
        "model.json",
        "model.safetensors",
    ]
    info = json.loads((export / "model.json").read_text())
    assert info["test"]["metrics"]["balanced_accuracy"] == best["test"]["balanced_accuracy"]

    # Every trial shows what it did, and what did not win has no weights any more.
    shown = workplace.folder / "studies" / "tiny" / "artifacts"
    assert {folder.name for folder in shown.iterdir()} == {"00000", "00001", "00002"}
    for folder in shown.iterdir():
        assert {file.name for file in folder.iterdir()} == SHOWN
        epochs = json.loads((folder / "curves.json").read_text())["epochs"]
        assert [epoch["epoch"] for epoch in epochs] == list(range(1, len(epochs) + 1))
        matrix = json.loads((folder / "confusion_matrix.json").read_text())
        assert sum(count for *_, count in matrix["cells"]) == 12
    database = f"file:{workplace.folder}/studies/studies.db?mode=ro"
    with sqlite3.connect(database, uri=True) as connection:
        query = "SELECT count(*) FROM trial_system_attributes WHERE key LIKE 'artifacts:%'"
        assert connection.execute(query).fetchone() == (3 * len(SHOWN),)

    trials = workplace.folder / "studies" / "tiny" / "trials"
    assert {file.name for file in trials.rglob("*.safetensors")} == {"best.safetensors"}

    # The export alone, elsewhere, gives the recorded figure from the files.
    elsewhere = shutil.copytree(export, tmp_path / "elsewhere")
    done = workplace.run("predict", str(elsewhere), "images", "--json")
    assert done.returncode == 0, done.stderr
    predicted = {
        Path(row["path"]).parent.name + "/" + Path(row["path"]).name: row["label"]
        for row in _rows(json.loads(done.stdout))
    }
    assert len(predicted) == 48
    table = load_table(workplace.folder / "studies" / "tiny" / "images.json")
    recalls = []
    for label, name in enumerate(table.classes):
        rows = [row for row in table.part("test") if row.label == label]
        recalls.append(sum(predicted[row.path] == name for row in rows) / len(rows))
    assert sum(recalls) / len(recalls) == pytest.approx(
        best["test"]["balanced_accuracy"], abs=1e-12
    )


def _rows(document: object) -> list[dict[str, str]]:
    if isinstance(document, dict):
        return list(document["predictions"])
    assert isinstance(document, list)
    return document


def test_running_again_repeats_nothing_and_more_trials_go_on_with_all_weights_found(
    workplace: Workplace,
) -> None:
    first = workplace.search_json()
    again = workplace.run("run", "tiny.yaml")
    assert again.returncode == 0, again.stderr
    assert "starts" not in again.stdout
    assert "the trials are used up; to go on: search run tiny.yaml --trials 4" in again.stdout
    # Another folder for the weights: those of the first trials stay where they are.
    more = workplace.search_json("--trials", "5", "--set", "checkpoints.dir=moved")
    assert more["counts"]["complete"] + more["counts"]["pruned"] == 5
    assert more["seconds"] > first["seconds"]
    assert "default" in more["baselines"]
    status = workplace.run("status", "tiny", "--json")
    leaders = json.loads(status.stdout)["leaderboard"]
    assert sorted(leader["trial"] for leader in leaders) == [0, 1, 2, 3, 4]
    best = leaders[0]["trial"]
    for trial, to in ((best, "there"), (0, "default")):
        done = workplace.run("export", "tiny", "--trial", str(trial), "--to", to)
        assert done.returncode == 0, done.stderr
    assert not (workplace.folder / "moved" / "tiny" / "trials" / "00000").exists()
    study = find(f"sqlite:///{workplace.folder}/studies/studies.db", "tiny")
    assert study is not None
    assert study.attributes["folders"] == [
        str(workplace.folder / place / "tiny") for place in ("studies", "moved")
    ]
    assert study.attributes["test_opened"].get("default", 0) <= 1  # kept in the first folder


@pytest.mark.thorough
def test_a_study_of_the_same_name_in_another_database_never_touches_the_weights(
    workplace: Workplace,
) -> None:
    workplace.search_json()
    study = workplace.folder / "studies" / "tiny"

    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in study.rglob("*") if path.is_file()}

    before = files()
    other = ("--storage", "sqlite:///other.db", "--set", "space.lr=0.03", "--trials", "2")
    refused = workplace.run("run", "tiny.yaml", *other)
    assert refused.returncode == 4, refused.stderr
    said = " ".join(refused.stderr.split())
    database = f"sqlite:///{study.parent}/studies.db"
    assert f"{study} holds the models of another study, tiny in {database}" in said
    assert "fix: --name tiny-2" in said
    assert files() == before
    (study.parent / "studies.db").rename(workplace.folder / "away.db")
    again = workplace.run("run", "tiny.yaml")
    assert again.returncode == 4, again.stderr
    assert "an earlier study tiny, gone from" in " ".join(again.stderr.split())
    assert files() == before
    done = workplace.run("export", "tiny", "--trial", "0", "--storage", "sqlite:///away.db")
    assert done.returncode == 0, done.stderr


def test_nothing_is_written_outside_studies_and_the_cache(
    finished: tuple[Workplace, Any],
) -> None:
    workplace, _ = finished
    found = {path.name for path in workplace.folder.iterdir()}
    assert found == {"images", "tiny.yaml", "studies", "cache"}


@pytest.mark.thorough
def test_images_without_room_are_decoded_in_every_epoch_to_the_same_results(
    workplace: Workplace, finished: tuple[Workplace, Any]
) -> None:
    done = workplace.run("run", "tiny.yaml", "--json", "--set", "cache.max_gb=0.000001")
    assert done.returncode == 0, done.stderr
    # 48 images of 40 x 40 x 3 bytes are 225 KiB; 1000 bytes are 1
    assert (
        "warning: decoded images of 40 px would need 225 KiB, there is room for 1 KiB: images are "
        "decoded again in every epoch; frozen activations are still stored where they fit"
    ) in " ".join(done.stderr.split())
    assert not list(workplace.folder.glob("cache/*/**/*.u8"))
    streamed = json.loads(done.stdout)
    other, mapped = finished
    assert list(other.folder.glob("cache/decoded/*.u8"))
    assert streamed["counts"]["failed"] == 0
    assert {**streamed["best"], "trial": None} == {**mapped["best"], "trial": None}
    assert streamed["baselines"] == mapped["baselines"]


def test_another_space_under_the_same_name_is_refused_with_what_changed(
    finished: tuple[Workplace, Any],
) -> None:
    workplace, _ = finished
    done = workplace.run("run", "tiny.yaml", "--set", "space.batch_size=16")
    assert done.returncode == 4
    assert "batch_size" in done.stderr
    assert "8" in done.stderr
    assert "16" in done.stderr
    assert "--name tiny-2" in done.stderr


def test_other_images_under_the_same_name_are_refused(
    finished: tuple[Workplace, Any], tmp_path: Path
) -> None:
    workplace, _ = finished
    images = shutil.copytree(workplace.folder / "images", tmp_path / "images")
    (images / "red" / "000.png").unlink()
    done = workplace.run("run", "tiny.yaml", "--trials", "5", "--set", f"data.path={images}")
    assert done.returncode == 4
    assert "images, labels or split" in done.stderr


def test_a_corrupt_image_stops_the_run_before_the_first_trial(workplace: Workplace) -> None:
    (workplace.folder / "images" / "red" / "000.png").write_bytes(b"not an image")
    done = workplace.run("run", "tiny.yaml")
    assert done.returncode == 3
    assert "red/000.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert workplace.run("status").stdout.startswith("no study in ")


def test_all_trials_failing_stops_after_five_with_the_commonest_reason(
    workplace: Workplace,
) -> None:
    # batch-norm has no spread of the single value of a 1 x 1 map of one image
    done = workplace.run(
        "run",
        "tiny.yaml",
        "--trials",
        "12",
        "--set",
        "space.unfreeze_depth=1",
        "--set",
        "space.batch_size=1",
    )
    assert done.returncode == 5
    assert "the first 5 trials all failed, most often: error" in done.stderr
    assert "search status tiny --trial 0" in done.stderr
    status = workplace.run("status", "tiny", "--trial", "0")
    assert "batch_size is 1, and batch-norm of mobilenet_v3_small has one value" in " ".join(
        status.stdout.split()
    )
    assert "Traceback" not in status.stdout


def test_a_pickle_posing_as_weights_is_refused_before_the_first_trial(
    workplace: Workplace,
) -> None:
    marker = workplace.folder / "it-ran"
    (workplace.folder / "own.safetensors").write_bytes(pickle.dumps(_Payload(str(marker))))
    done = workplace.run(
        "run", "tiny.yaml", "--set", "weights.files={mobilenet_v3_small: own.safetensors}"
    )
    assert done.returncode == 2
    assert "own.safetensors is not a safetensors file" in done.stderr
    assert not marker.exists()
    assert workplace.run("status").stdout.startswith("no study in ")


class _Payload:
    """What an attacker would put into a pickle."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.marker,))


def test_a_password_is_not_repeated(workplace: Workplace) -> None:
    url = "storage=postgresql+psycopg://me:hunter2@127.0.0.1:1/db"
    planned = workplace.run("plan", "tiny.yaml", "--set", url)
    assert planned.returncode == 0
    assert "me:***@" in planned.stdout
    assert "hunter2" not in planned.stdout + planned.stderr
    done = workplace.run("run", "tiny.yaml", "--set", url)
    assert done.returncode == 74
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.thorough
def test_a_space_that_was_tried_whole_starts_nothing_again(workplace: Workplace) -> None:
    workplace.space(trials=9, epochs=1)
    finite = (
        "--set",
        "space.lr=0.01",
        "--set",
        "space.augmentation=none",
    )  # depth 0 and 1 are left
    first = workplace.run("run", "tiny.yaml", *finite)
    assert first.returncode == 0, first.stderr
    assert "starting Ray" in first.stdout
    again = workplace.run("run", "tiny.yaml", *finite)
    assert again.returncode == 0, again.stderr
    for done in (first, again):
        assert (
            "every point of the space was tried; a larger space needs another --name" in done.stdout
        )
    assert "starting Ray" not in again.stdout
