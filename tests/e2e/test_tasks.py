"""``search run`` for images in several classes, and for numbers: from a CSV file to a
model that predicts, with test figures that its own predictions give again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from search.data.manifest import load_table
from search.data.targets import targets_of
from search.space.spec import METRICS_OF, Task
from search.training.task_metrics import task_metrics
from tests.e2e.workplace import Workplace

pytestmark = pytest.mark.slow

LABELS = {
    # Two colours share a class, one is in none.
    "multilabel": {"blue": "cold|dark", "green": "cold", "red": ""},
    "regression": {"blue": "-100.5", "green": "20", "red": "300"},
}


def write_manifest(workplace: Workplace, task: Task) -> None:
    rows = [
        f"images/{folder.name}/{file.name},{LABELS[task][folder.name]}"
        for folder in sorted((workplace.folder / "images").iterdir())
        for file in sorted(folder.iterdir())
    ]
    (workplace.folder / "images.csv").write_text("\n".join(["path,label", *rows]) + "\n")


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_search_of_a_task_ends_with_a_model_whose_figures_predict_reproduces(
    workplace: Workplace, task: Task
) -> None:
    write_manifest(workplace, task)
    unit = ("--set", "data.unit=mm") if task == "regression" else ()
    # A random mobilenet gives every small image the same features; this one does not.
    own = ("--set", "space.backbone=resnet18", "--set", "space.augmentation=none")
    document = workplace.search_json(
        *("--data", "images.csv", "--set", f"data.task={task}", "--trials", "2", *unit, *own)
    )
    best = document["best"]
    assert tuple(best["test"]) == METRICS_OF[task]
    assert "linear_probe" in document["baselines"]

    for number in range(2):
        artifacts = workplace.folder / "studies" / "tiny" / "artifacts" / f"{number:05d}"
        figures = "predictions" if task == "regression" else "confusion_matrix"
        assert {path.name for path in artifacts.iterdir()} == {
            f"{name}.{kind}"
            for name in ("curves", figures, "worst_errors")
            for kind in ("json", "png")
        }

    export = workplace.folder / "studies" / "tiny" / "export"
    export.rename(workplace.folder / "elsewhere")  # nothing else of the study is needed
    info = json.loads((workplace.folder / "elsewhere" / "model.json").read_text())
    assert info["learns"]["task"] == task
    done = workplace.run("predict", "elsewhere", "images", "--json")
    assert done.returncode == 0, done.stderr
    said = {
        "/".join(Path(row["path"]).parts[-3:]): row
        for row in json.loads(done.stdout)["predictions"]
    }
    assert len(said) == 48
    table = load_table(workplace.folder / "studies" / "tiny" / "images.json")
    rows = table.part("test")
    key = "value" if task == "regression" else "probabilities"
    said_NK = np.array([np.atleast_1d(said[row.path][key]) for row in rows])
    thresholds = info["learns"].get("thresholds")
    found = task_metrics(task, said_NK, targets_of(table, rows), thresholds)
    assert found == pytest.approx(best["test"], abs=1e-5, rel=1e-5)
    if task == "multilabel":
        for row in said.values():
            names = zip(info["labels"], row["probabilities"], thresholds, strict=True)
            assert row["labels"] == [name for name, p, limit in names if p >= limit]

    card = (workplace.folder / "elsewhere" / "README.md").read_text()
    assert ("in mm" if task == "regression" else "### Thresholds") in card
