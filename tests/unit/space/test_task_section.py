"""What is learnt of an image is said in ``data``; objective and loss must fit it."""

from __future__ import annotations

import pytest

from search.problems import SearchError
from search.space.document import from_document, identity, to_document
from search.space.spec import METRICS_OF, TASKS, Task
from tests.unit.space.conftest import Read

CSV = "data: {{manifest: m.csv, task: {task}}}\n"


@pytest.mark.parametrize(
    ("task", "objective", "direction"),
    [
        pytest.param("multiclass", "balanced_accuracy", "maximize", id="multiclass"),
        pytest.param("multilabel", "mAP", "maximize", id="multilabel"),
        pytest.param("regression", "mae", "minimize", id="regression"),
    ],
)
def test_the_usual_objective_follows_the_task(
    read: Read, task: Task, objective: str, direction: str
) -> None:
    spec = read(CSV.format(task=task)).spec
    assert (spec.data.task, spec.objective, spec.direction) == (task, objective, direction)


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_of_a_task_can_be_its_objective(read: Read, task: Task) -> None:
    for metric in METRICS_OF[task]:
        spec = read(CSV.format(task=task) + f"objective: {metric}\n").spec
        assert spec.objective == metric
        assert spec.direction == ("minimize" if metric in ("loss", "mae", "rmse") else "maximize")


@pytest.mark.parametrize(
    ("text", "line", "fact", "fix"),
    [
        pytest.param(
            "data: {manifest: m.csv}\nobjective: mAP\n",
            2,
            "mAP is a metric of multilabel, data.task is multiclass",
            "data: {task: multilabel}",
            id="objective_of_another_task",
        ),
        pytest.param(
            "data: {manifest: m.csv, task: regression}\nobjective: accuracy\n",
            2,
            "accuracy is a metric of multiclass, data.task is regression",
            "mae",
            id="accuracy_of_numbers",
        ),
        pytest.param(
            "data: {path: photos, task: regression}\n",
            1,
            "a folder gives each image one class, not numbers",
            "manifest: FILE.csv",
            id="folder_of_numbers",
        ),
        pytest.param(
            "data: {path: photos, task: multilabel}\n",
            1,
            "a folder gives each image one class, not several classes",
            "manifest: FILE.csv",
            id="folder_of_several_classes",
        ),
        pytest.param(
            "data: {manifest: m.csv, unit: kg}\n",
            1,
            "data.unit is the unit of a number",
            "task: regression",
            id="unit_of_a_class",
        ),
        pytest.param(
            "data: {manifest: m.csv, task: multi-label}\n",
            1,
            "multi-label",
            "multilabel",
            id="misspelt",
        ),
        pytest.param(
            "data: {manifest: m.csv, task: regression}\nspace: {loss: [mse, focal]}\n",
            2,
            "loss: focal is not for data.task regression",
            "mse",
            id="loss_of_another_task",
        ),
        pytest.param(
            "data: {manifest: m.csv}\nspace: {loss: huber}\n",
            2,
            "loss: huber is not for data.task multiclass",
            "cross_entropy",
            id="loss_of_numbers",
        ),
        pytest.param(
            "data: {manifest: m.csv, task: multilabel}\nspace: {class_imbalance: sampler}\n",
            2,
            "class_imbalance: sampler is not for data.task multilabel",
            "weights, or auto",
            id="sampler_of_several_classes",
        ),
    ],
)
def test_what_does_not_fit_the_task_is_refused_where_it_stands(
    read: Read, text: str, line: int, fact: str, fix: str
) -> None:
    with pytest.raises(SearchError) as seen:
        read(text)
    (problem,) = seen.value.problems
    assert problem.place is not None
    assert problem.place.line == line
    assert fact in problem.fact
    assert fix in problem.fix


def test_a_setting_that_changes_nothing_in_the_task_is_told(read: Read) -> None:
    text = CSV.format(task="regression") + (
        "space: {label_smoothing: [0, 0.1], class_imbalance: none, lr: [1e-3, 1e-2]}\n"
    )
    (warning,) = (each for each in read(text).warnings if each.level == "warning")
    assert warning.fact == "label_smoothing changes nothing in the task regression"


@pytest.mark.parametrize("choice", ["weights", "auto", "sampler"])
def test_rare_classes_are_of_no_matter_to_numbers_and_that_is_told(read: Read, choice: str) -> None:
    text = CSV.format(task="regression") + f"space: {{class_imbalance: {choice}, lr: [0.1, 1]}}\n"
    (warning,) = (each for each in read(text).warnings if each.level == "warning")
    assert warning.fact == "class_imbalance changes nothing in the task regression"


def test_weights_of_several_classes_are_nothing_to_tell_of(read: Read) -> None:
    text = CSV.format(task="multilabel") + (
        "space: {class_imbalance: [none, weights, auto], lr: {float: [1.0e-4, 1]}}\n"
    )
    assert read(text).warnings == ()


@pytest.mark.parametrize("task", TASKS)
def test_the_document_of_a_study_keeps_the_task(read: Read, task: Task) -> None:
    spec = read(CSV.format(task=task)).spec
    document = to_document(spec)
    assert from_document(document) == spec
    # Studies of one class an image are written as before there were other tasks.
    assert ("task" in identity(document)["data"]) == (task != "multiclass")
