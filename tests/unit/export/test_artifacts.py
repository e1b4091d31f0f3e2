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
from search.data.targets import targets_of
from search.export import charts
from search.export.artifacts import Artifacts
from search.export.artifacts_tasks import label_error, value_error
from search.export.charts import Line, Tile
from search.export.charts_tasks import Bars, bars, end_of_axis, scatter
from search.study.artifacts import NAMES
from search.training.judged import PAIRS, WORST, judged_labels, judged_values
from search.training.report import EpochReport
from search.tuning.shown import Showing

OF_CLASSES = NAMES[:6]
OF_VALUES = (
    "curves.png",
    "worst_errors.png",
    "curves.json",
    "worst_errors.json",
    "predictions.png",
    "predictions.json",
)
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
    showing = Showing(folder, "multiclass", labels_N, [row.path for row in val], note=pytest.fail)
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
    assert files(table, shown, folder) == OF_CLASSES
    assert {path.name for path in folder.iterdir()} == set(OF_CLASSES)
    for name in OF_CLASSES:
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


EVIL = ("<script>alert(1)</script>", "=cmd()\x1b[2J\n", "../" * 30)


def of_labels(table: ImageTable, names: tuple[str, ...]) -> ImageTable:
    """The same images, each in the class that it was in and in the last one."""
    last = len(names) - 1
    rows = (replace(row, label=tuple(sorted({row.label, last}))) for row in table.rows)  # type: ignore[arg-type]
    return replace(table, task="multilabel", classes=names, rows=tuple(rows))


def of_values(table: ImageTable, unit: str = "m") -> ImageTable:
    """The same images, each with its number in the table as its value."""
    rows = (replace(row, label=float(number)) for number, row in enumerate(table.rows))
    return replace(table, task="regression", classes=(), unit=unit, rows=tuple(rows))


def shown_of(
    table: ImageTable, folder: Path, said_NK: Any, *, thresholds: tuple[float, ...] = ()
) -> Path:
    """What a worker leaves of a trial of one epoch."""
    val = table.part("val")
    showing = Showing(
        folder, table.task, targets_of(table, val), [row.path for row in val], note=pytest.fail
    )
    showing([replace(report(1, 0.5), thresholds=thresholds)], said_NK)
    return folder


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_images_in_several_classes_have_a_matrix_a_class_and_the_worst_errors(
    table: ImageTable, tmp_path: Path
) -> None:
    labelled = of_labels(table, EVIL)
    val = labelled.part("val")
    said_NK = np.where(targets_of(labelled, val) > 0, 0.625, 0.125)
    said_NK[0, 2] = 0.25  # missed: -ln 0.25 is the highest loss of a pair
    said_NK[1, 2] = 0.5  # missed too, by less
    shown = shown_of(labelled, tmp_path / "t", said_NK, thresholds=(0.5, 0.5, 0.6))
    folder = tmp_path / "a"
    assert files(labelled, shown, folder) == OF_CLASSES
    matrix = read(folder, "confusion_matrix.json")
    assert [each["name"] for each in matrix["classes"]] == list(EVIL)
    n = len(val)
    last = matrix["classes"][2]
    assert last["counts"] == [[0, 0], [2, n - 2]]
    assert (last["threshold"], last["images"], last["precision"]) == (0.6, n, 1.0)
    assert last["recall"] == (n - 2) / n
    assert last["f1"] == pytest.approx(2 * (n - 2) / (2 * (n - 2) + 2))
    assert matrix["classes"][0]["average_precision"] == 1.0
    errors = read(folder, "worst_errors.json")["errors"]
    assert [each["file"] for each in errors] == [val[0].path, val[1].path]
    assert EVIL[2] in errors[0]["true"]
    assert EVIL[2] not in errors[0]["called"]
    assert errors[0]["loss"] > errors[1]["loss"]


def test_a_class_that_no_image_is_in_has_no_average_precision(
    table: ImageTable, tmp_path: Path
) -> None:
    labelled = of_labels(table, ("a", "b", "c", "none", "all"))
    shown = shown_of(
        labelled, tmp_path / "t", np.full((len(table.part("val")), 5), 0.25), thresholds=(0.5,) * 5
    )
    assert files(labelled, shown, tmp_path / "a") == OF_CLASSES
    found = read(tmp_path / "a", "confusion_matrix.json")["classes"][3]
    assert (found["average_precision"], found["images"], found["f1"]) == (None, 0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1e-12, 1e150])
def test_numbers_have_predicted_beside_true_residuals_and_the_worst_errors(
    table: ImageTable, tmp_path: Path, size: float
) -> None:
    valued = of_values(table, unit="m\x1b[2J")
    rows = (replace(row, label=row.label * size) for row in valued.rows)  # type: ignore[operator]
    valued = replace(valued, rows=tuple(rows))
    val = valued.part("val")
    true_N = targets_of(valued, val)
    said_N = true_N.copy()
    said_N[2] -= 3 * size
    said_N[4] += 2 * size
    shown = shown_of(valued, tmp_path / "t", said_N[:, None])
    folder = tmp_path / "a"
    assert files(valued, shown, folder) == OF_VALUES
    document = read(folder, "predictions.json")
    assert sorted(map(tuple, document["pairs"])) == sorted(zip(true_N, said_N, strict=True))
    assert document["residuals"]["mean"] == pytest.approx(-size / len(val))
    assert document["residuals"]["quantiles"]["0"] == pytest.approx(-3 * size)
    assert document["unit"] == "m\x1b[2J"
    errors = read(folder, "worst_errors.json")["errors"]
    assert [each["file"] for each in errors] == [val[2].path, val[4].path]
    assert [each["error"] for each in errors] == pytest.approx([-3 * size, 2 * size])
    with Image.open(folder / "predictions.png") as picture:
        colours = picture.convert("RGB").getcolors(2**24)
    assert colours is not None
    assert len(colours) > 3


def test_a_curve_without_a_finite_figure_is_drawn(table: ImageTable, tmp_path: Path) -> None:
    showing = Showing(tmp_path / "t", "regression", np.zeros(0), [], note=pytest.fail)
    showing([report(1, float("nan"))], None)
    names = files(table, tmp_path / "t", tmp_path / "artifacts")
    assert names == ("curves.png", "curves.json")
    document = read(tmp_path / "artifacts", "curves.json")
    assert (document["best_epoch"], document["epochs"][0]["metrics"]["loss"]) == (None, None)


def test_what_is_kept_does_not_grow_with_images_or_labels() -> None:
    rng = np.random.default_rng(0)
    values = judged_values(1, rng.random(5000), rng.random(5000))
    assert (len(values["pairs"]), len(values["worst"])) == (PAIRS, WORST)
    true = [pair[0] for pair in values["pairs"]]
    assert true == sorted(true)
    labels = judged_labels(1, rng.random((90, 300)), rng.random((90, 300)).round(), (0.5,) * 300)
    assert len(labels["worst"]) == WORST
    assert all(len(each["true"]) <= 50 >= len(each["called"]) for each in labels["worst"])


def test_what_was_missed_is_said_only_where_all_classes_are_known() -> None:
    names = [f"class {number:03}" for number in range(300)]
    true_NK, said_NK = np.zeros((2, 300)), np.zeros((2, 300))
    true_NK[0, :60], said_NK[0, 10:70] = 1, 1  # 60 true and 60 called, of which 50 are named
    true_NK[1, :2], said_NK[1, 1:3] = 1, 1
    many, few = judged_labels(1, said_NK, true_NK, (0.5,) * 300)["worst"]
    words = label_error(names, few | {"file": "a"}).words
    assert words[:3] == ["2 classes, 2 called", "missed class 000", "not class 002"]
    words = label_error(names, many | {"file": "a"}).words
    assert words[0] == "60 classes, 60 called"
    assert [each.split()[0] for each in words[1:]] == ["loss"]


@pytest.mark.parametrize(
    ("value", "std", "words"),
    [
        pytest.param(1_700_000_002.125, 2.0, "1700000002.125 s", id="far_from_0"),
        pytest.param(123_456.7, 50_000.0, "123457 s", id="wide"),
        pytest.param(0.0123456, 0.01, "0.01235 s", id="small"),
        pytest.param(1.23456e300, 1e300, "1.235e+300 s", id="huge"),
    ],
)
def test_values_are_said_with_the_digits_that_tell_them_apart(
    value: float, std: float, words: str
) -> None:
    error = {"file": "a", "true": value, "predicted": value, "error": 0.0}
    assert value_error("s", std, error).words[0] == f"is {words}"


@pytest.mark.parametrize(
    ("axis", "scale", "words"),
    [
        pytest.param((0.0, 1.0), 23.0, ("0.0", "23.0"), id="near_0"),
        # 2 s of 1.7e9: hundredths of the axis are 0.02 s
        pytest.param((1.0, 1.0 + 2 / 1.7e9), 1.7e9, ("1700000000.00", "1700000002.00"), id="far"),
        pytest.param((-1.0, 1.0), 1.7e308, ("-1.7e+308", "1.7e+308"), id="largest"),
        pytest.param((0.0, 1e-300), 1e-20, ("0", "1e-320"), id="smallest"),
    ],
)
def test_both_ends_of_an_axis_can_be_told_apart(
    axis: tuple[float, float], scale: float, words: tuple[str, str]
) -> None:
    assert tuple(end_of_axis(each, axis, scale) for each in axis) == words


@pytest.mark.parametrize("classes", [0, 1, 40, 41, 1500])
def test_bars_of_any_number_of_classes_are_drawn_within_bounds(classes: int) -> None:
    found = [
        Bars(name="long " * 20, f1=k / classes, average_precision=None, counts=((1, 2), (3, k)))
        for k in range(classes)
    ]
    assert max(bars(found).size) <= 1000


@pytest.mark.parametrize(
    "pairs",
    [[], [(1.0, 1.0)], [(0.0, 0.0)] * 3, [(1.7e308, -1.7e308), (0.0, 5e-324)], [(7.0, 7.1)] * 2],
)
def test_values_of_any_size_are_drawn(pairs: list[tuple[float, float]]) -> None:
    assert scatter(pairs, "a unit \x1b of a very long name indeed").size == (1000, 480)


def test_images_that_changed_or_are_gone_are_left_blank(
    table: ImageTable, shown: Path, tmp_path: Path
) -> None:
    elsewhere = replace(table, root=tmp_path / "nowhere")
    assert files(elsewhere, shown, tmp_path / "blank") == OF_CLASSES
    files(table, shown, tmp_path / "whole")
    sizes = [(tmp_path / name / "worst_errors.png").stat().st_size for name in ("blank", "whole")]
    assert sizes[0] < sizes[1] / 3


def test_of_a_file_that_cannot_be_finished_nothing_is_left(
    table: ImageTable, shown: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    (folder / "curves.png" / "in the way").mkdir(parents=True)
    made = Artifacts(table, "balanced_accuracy", maximize=True).make(shown, folder)
    assert made.fault
    assert list(folder.glob(".*")) == []


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
    showing = Showing(tmp_path / "file" / "trial", "multiclass", np.zeros(0), [], note=notes.append)
    for epoch in (1, 2):
        showing([report(epoch, 0.5)], None)
    assert len(notes) == 1
    assert "cannot be written" in notes[0]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 2, 40, 41, 999, 1000, 1500, 21_841])
def test_a_matrix_of_any_size_is_drawn_within_bounds(classes: int) -> None:
    names = [f"{'long ' * 20}\n{number}" for number in range(classes)]
    cells = [(k, (k * 7) % classes, 1 + k) for k in range(classes)]
    picture = charts.matrix(names, cells)
    assert max(picture.size) <= (1700 if classes <= 40 else 1000)
    colours = picture.getcolors(2**24)
    assert colours is not None
    assert len(colours) > 1


def test_classes_that_share_a_pixel_are_as_dark_as_all_their_images() -> None:
    # 2,000 classes on 1,000 pixels: classes 0 and 1 are the first, 1999 is in the last.
    picture = charts.matrix(["name"] * 2000, [(0, 0, 3), (1, 1999, 1), (1999, 1999, 5)])
    assert picture.size == (1000, 1000)
    three_quarters = tuple(round(255 - (255 - each) * 0.75) for each in charts.COLOURS[0])
    assert picture.getpixel((0, 0)) == three_quarters
    assert picture.getpixel((999, 999)) == charts.COLOURS[0]
    assert picture.getpixel((500, 500)) == charts.PAPER


@pytest.mark.parametrize(
    "values", [[], [None], [1.0], [1.0, 1.0], [None, 2.0, None], [0.1 * n for n in range(500)]]
)
def test_curves_of_any_values_are_drawn(values: list[Any]) -> None:
    assert charts.curves([[Line(name="loss", values=values)]], best=None).size == (480, 260)


def test_no_errors_are_said_in_words() -> None:
    nothing = charts.tiles([])
    assert len(nothing.getcolors(2**16) or ()) > 1
    assert charts.tiles([Tile(image=None, words=("one",))] * 5).size[1] > nothing.size[1]
