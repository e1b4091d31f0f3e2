"""``search init`` on a manifest: the task that its labels are for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.problems import Exit
from tests.unit.cli.init_command import flowers, scene, search, written

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("labels", "task", "objective"),
    [
        pytest.param(["cat", "dog"], "multiclass", "balanced_accuracy", id="classes"),
        pytest.param(["cat", "cat|dog"], "multilabel", "mAP", id="several"),
        pytest.param([f"{n / 7}" for n in range(24)], "regression", "mae", id="numbers"),
        pytest.param(["1", "2", "3"], "multiclass", "balanced_accuracy", id="digits"),
    ],
)
def test_a_manifest_says_its_task(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: list[str],
    task: str,
    objective: str,
) -> None:
    rows = ["path,label"]
    for index in range(24):
        scene(tmp_path / "photos" / f"{index}.png", index)
        rows.append(f"photos/{index}.png,{labels[index % len(labels)]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    search("init", "study", "--data", "list.csv", "--json")
    assert json.loads(capsys.readouterr().out)["task"] == task
    assert not [each.fact for each in written().warnings if each.level == "warning"]
    spec = written().spec
    assert (spec.data.task, spec.data.manifest, spec.objective) == (
        task,
        str(tmp_path / "list.csv"),
        objective,
    )


def manifest(tmp_path: Path, labels: list[str]) -> None:
    """``list.csv`` of so many images, each with its label."""
    rows = ["path,label"]
    for index, label in enumerate(labels):
        scene(tmp_path / "photos" / f"{index}.png", index)
        rows.append(f"photos/{index}.png,{label}")
    (tmp_path / "list.csv").write_text("\n".join(rows))


def test_images_in_no_class_are_no_mistake_where_others_are_in_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest(tmp_path, ["cat|dog", "", "cat", "dog"] * 5)
    search("init", "study", "--data", "list.csv", "--json")
    assert json.loads(capsys.readouterr().out)["task"] == "multilabel"
    assert written().spec.data.task == "multilabel"


def test_an_empty_label_among_classes_is_told_with_the_task_that_has_use_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest(tmp_path, ["cat", "dog", ""] * 4)
    search("init", "study", "--data", "list.csv", status=Exit.DATA)
    said = capsys.readouterr().err
    assert "images in no class are for --task multilabel" in said
    assert "guessed" not in said  # these labels are nothing else
    search("init", "study", "--data", "list.csv", "--task", "multilabel")
    assert "task: multilabel                # as asked for" in Path("study/space.yaml").read_text()


def test_numbers_with_a_few_bad_lines_are_still_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest(tmp_path, [f"{index}.5" for index in range(23)] + ["", "tall"])
    search("init", "study", "--data", "list.csv", status=Exit.DATA)
    said = capsys.readouterr().err
    assert "fix: the image's value, or remove the line" in said
    assert "'tall' is no number, data.task is regression" in said
    assert (
        "note: the task was guessed from the labels: regression\n  fix: --task multiclass" in said
    )


def test_few_images_with_a_number_each_are_no_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest(tmp_path, ["1", "2", "3", "4", "5"] * 2)
    search("init", "study", "--data", "list.csv", "--unit", "cm", "--json")
    document = json.loads(capsys.readouterr().out)
    assert (document["task"], document["unit"]) == ("regression", "cm")
    search("init", "other", "--data", "list.csv", "--task", "multiclass", status=Exit.DATA)
    printed = capsys.readouterr()
    assert "a quantity to predict, not classes" in printed.err
    assert "fix: --task regression" in printed.err
    assert "guessed" not in printed.err
    search("init", "third", "--data", "list.csv", "--unit", "cm")
    assert capsys.readouterr().out.splitlines()[0] == "list: 10 images, regression, in cm"


@pytest.mark.slow
def test_task_and_unit_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest(tmp_path, ["1", "2", "3"] * 8)
    search("init", "study", "--data", "list.csv", "--task", "regression", "--unit", "cm: a")
    assert (written().spec.data.task, written().spec.data.unit) == ("regression", "cm: a")
    flowers(tmp_path / "flowers")
    for arguments, said in (
        (("--data", "list.csv", "--task", "regresion"), "fix: regression"),
        (("--data", "list.csv", "--unit", "cm"), "the task is multiclass"),
        (("--data", "flowers", "--task", "multilabel"), "a folder gives each image one class"),
    ):
        search("init", "other", *arguments, status=Exit.USAGE)
        assert said in capsys.readouterr().err
    assert not Path("other").exists()
