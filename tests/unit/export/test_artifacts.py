"""The files that show what a trial did: figures and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.data.images import ImageTable
from search.export import charts
from search.export.artifacts import Artifacts
from search.export.charts import Line, Tile
from search.study.artifacts import NAMES
from search.training.report import EpochReport
from search.tuning.shown import Showing

GOLDEN = Path(__file__).parents[2] / "golden" / "artifacts"


def report(epoch: int, value: float) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        metrics={"balanced_accuracy": value, "loss": 1.0 - value / 2},
        train_loss=1.25 / epoch,
        seconds=0.5,
        images_per_second=10.0,
        peak_memory_mb=100.0,
        parameters_trained=5,
        parameters_total=10,
    )


@pytest.fixture
def shown(table: ImageTable, tmp_path: Path) -> Path:
    """What a worker leaves of a trial of three epochs, whose second is the best."""
    folder = tmp_path / "trials" / "00003"
    val = table.part("val")
    labels_N = np.array([row.label for row in val])
    showing = Showing(folder, labels_N, [row.path for row in val], note=pytest.fail)
    found_NK = np.full((len(val), 3), 0.125)
    found_NK[np.arange(len(val)), labels_N] = 0.75
    found_NK[0] = [0.125, 0.25, 0.625]  # a blue one that is called red
    found_NK[8] = [0.5, 0.25, 0.25]  # a red one that is called blue
    curve = [report(1, 0.5), report(2, 0.75), report(3, 0.625)]
    showing(curve[:1], found_NK[::-1])
    showing(curve[:2], found_NK)
    showing(curve, None)
    return folder


def files(table: ImageTable, source: Path, destination: Path) -> tuple[str, ...]:
    made = Artifacts(table, "balanced_accuracy", maximize=True).make(source, destination)
    assert made.fault == ""
    return made.names


def test_a_trial_has_its_files_and_the_figures_are_the_golden_ones(
    table: ImageTable, shown: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import os

    folder = tmp_path / "artifacts" / "00003"
    assert files(table, shown, folder) == NAMES
    assert {path.name for path in folder.iterdir()} == set(NAMES)
    for name in NAMES:
        if name.endswith(".png"):
            with Image.open(folder / name) as picture:
                picture.load()
                assert min(picture.size) > 100
        elif os.environ.get("UPDATE_GOLDEN"):
            GOLDEN.mkdir(exist_ok=True)
            (GOLDEN / name).write_bytes((folder / name).read_bytes())
        else:
            assert (folder / name).read_text() == (GOLDEN / name).read_text(), name


def test_making_them_again_gives_the_same_bytes(
    table: ImageTable, shown: Path, tmp_path: Path
) -> None:
    first, again = tmp_path / "one", tmp_path / "two"
    for folder in (first, again, again):
        files(table, shown, folder)
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {
        p.name: p.read_bytes() for p in again.iterdir()
    }


def test_a_trial_that_finished_no_epoch_has_none(table: ImageTable, tmp_path: Path) -> None:
    assert files(table, tmp_path / "trials" / "00001", tmp_path / "artifacts") == ()
    assert not (tmp_path / "artifacts").exists()


def test_a_trial_without_classes_has_its_curves_alone(table: ImageTable, tmp_path: Path) -> None:
    showing = Showing(tmp_path / "t", None, [], note=pytest.fail)
    showing([report(1, float("nan"))], np.zeros((9, 1)))
    names = files(table, tmp_path / "t", tmp_path / "artifacts")
    assert names == ("curves.png", "curves.json")
    document = json.loads((tmp_path / "artifacts" / "curves.json").read_text())
    assert (document["best_epoch"], document["epochs"][0]["metrics"]["loss"]) == (None, None)


def test_images_that_changed_or_are_gone_are_left_blank(
    table: ImageTable, shown: Path, tmp_path: Path
) -> None:
    elsewhere = replace(table, root=tmp_path / "nowhere")
    assert files(elsewhere, shown, tmp_path / "blank") == NAMES
    files(table, shown, tmp_path / "whole")
    sizes = [(tmp_path / name / "worst_errors.png").stat().st_size for name in ("blank", "whole")]
    assert sizes[0] < sizes[1] / 3


@pytest.mark.parametrize("content", ["", "{", '{"epochs": [{}]}', "[]"])
def test_a_damaged_file_is_told_and_ends_nothing(
    table: ImageTable, shown: Path, tmp_path: Path, content: str
) -> None:
    (shown / "curves.json").write_text(content)
    made = Artifacts(table, "balanced_accuracy", maximize=True).make(shown, tmp_path / "a")
    assert made.fault
    assert made.names == ()


def test_what_a_worker_cannot_write_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notes: list[str] = []
    showing = Showing(tmp_path / "file" / "trial", None, [], note=notes.append)
    for epoch in (1, 2):
        showing([report(epoch, 0.5)], None)
    assert len(notes) == 1
    assert "cannot be written" in notes[0]


@pytest.mark.parametrize("classes", [1, 2, 40, 41, 1500])
def test_a_matrix_of_any_size_is_drawn_within_bounds(classes: int) -> None:
    names = [f"{'long ' * 20}\n{number}" for number in range(classes)]
    cells = [(k, (k * 7) % classes, 1 + k) for k in range(classes)]
    picture = charts.matrix(names, cells)
    assert max(picture.size) <= 1700
    colours = picture.getcolors(2**24)
    assert colours is not None
    assert len(colours) > 1


@pytest.mark.parametrize(
    "values", [[], [None], [1.0], [1.0, 1.0], [None, 2.0, None], [0.1 * n for n in range(500)]]
)
def test_curves_of_any_values_are_drawn(values: list[Any]) -> None:
    assert charts.curves([[Line(name="loss", values=values)]], best=None).size == (480, 260)


def test_no_errors_are_said_in_words() -> None:
    nothing = charts.tiles([])
    assert len(nothing.getcolors(2**16) or ()) > 1
    assert charts.tiles([Tile(image=None, words=("one",))] * 5).size[1] > nothing.size[1]
