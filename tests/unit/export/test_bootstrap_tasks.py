"""Intervals of several classes an image, and of numbers, against resampling by hand."""

from __future__ import annotations

import numpy as np
import pytest

from search.data.targets import Scale
from search.export.bootstrap import resample_counts
from search.export.bootstrap_tasks import draw_task
from search.export.learns import Learns
from search.export.measuring import compare, measure
from search.space.spec import METRICS_OF, Metric, Task
from search.training.task_metrics import task_metrics

N, R = 40, 50
TASKS = [(task, metric) for task in ("multilabel", "regression") for metric in METRICS_OF[task]]


def made(task: Task) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    rng = np.random.default_rng(3)
    if task == "regression":
        targets = rng.normal(1e4, 30.0, N)
        return (targets + rng.normal(0, 10.0, N))[:, None], targets, ()
    return rng.random((N, 3)).round(2), (rng.random((N, 3)) < 0.3).astype(float), (0.4, 0.5, 0.6)


@pytest.mark.parametrize(("task", "metric"), TASKS)
def test_a_draw_is_the_metric_of_the_images_that_were_drawn(task: Task, metric: Metric) -> None:
    said, targets, thresholds = made(task)
    (drawn,) = draw_task(
        task, metric, [said], targets, [thresholds], resamples=R, rng=np.random.default_rng(7)
    )
    ((_, counts),) = resample_counts(np.zeros(N, np.int64), R, np.random.default_rng(7))
    for value, weights in zip(drawn, counts, strict=True):
        rows = np.repeat(np.arange(N), weights)
        by_hand = task_metrics(task, said[rows], targets[rows], thresholds or None)
        assert value == pytest.approx(by_hand[metric], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_the_figures_of_a_task_lie_in_their_intervals(task: Task) -> None:
    said, targets, thresholds = made(task)
    names = ("a", "b", "c") if task == "multilabel" else ()
    found = measure(said, targets, names, seed=1, resamples=300, task=task, thresholds=thresholds)
    assert tuple(found.metrics) == tuple(found.intervals) == METRICS_OF[task]
    for name, value in found.metrics.items():
        assert found.intervals[name].low <= value <= found.intervals[name].high
    assert tuple(each.name for each in found.classes) == names
    assert found.cells == ()


def test_a_smaller_error_is_the_better_one() -> None:
    said, targets, _ = made("regression")
    worse = said + np.random.default_rng(1).normal(0, 60.0, said.shape)
    found = compare("mae", said, worse, targets, seed=1, resamples=300, task="regression")
    assert found.difference < 0
    assert found.better


@pytest.mark.parametrize(
    ("learns", "labels"),
    [
        pytest.param(Learns(), ("a", "b"), id="multiclass"),
        pytest.param(
            Learns(task="multilabel", thresholds=(0.25, 0.5)), ("a", "b"), id="multilabel"
        ),
        pytest.param(
            Learns(task="regression", scale=Scale(mean=-3.5, std=0.1), unit="kg"),
            (),
            id="regression",
        ),
    ],
)
def test_what_a_model_learns_comes_back_exactly(learns: Learns, labels: tuple[str, ...]) -> None:
    assert Learns.from_json(learns.to_json(), labels) == learns


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"task": "ranking"}, id="task"),
        pytest.param({"task": "multilabel", "thresholds": [0.5]}, id="too_few"),
        pytest.param({"task": "multilabel", "thresholds": [0.5, "x"]}, id="no_number"),
        pytest.param({"task": "regression", "mean": 0, "std": 0, "unit": ""}, id="no_spread"),
        pytest.param({"task": "regression", "mean": 0, "std": 1, "unit": 5}, id="unit"),
    ],
)
def test_what_no_model_says_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # which field is told by the file's reader
        Learns.from_json(document, ("a", "b"))
