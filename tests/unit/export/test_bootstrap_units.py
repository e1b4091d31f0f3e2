"""Intervals where images belong together: what is drawn are the groups."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from search.export.bootstrap import draw, draw_calibration, draw_classes, resample_counts
from search.export.bootstrap_tasks import draw_task
from search.export.measuring import compare, interval, measure
from search.export.report import TestResult
from search.space.spec import METRICS, METRICS_OF, Metric, Task
from search.training.calibration import BINS, calibration
from search.training.metrics import metrics
from search.training.task_metrics import task_metrics

N, R, K = 60, 40, 3


def probabilities(seed: int, labels_N: NDArray[np.int64]) -> NDArray[np.float32]:
    scores_NK = np.random.default_rng(seed).random((len(labels_N), K))
    scores_NK[np.arange(len(labels_N)), labels_N] += 0.5
    return (scores_NK / scores_NK.sum(axis=1, keepdims=True)).astype(np.float32)


LABELS = np.arange(N) % K
MIXED = np.random.default_rng(0).integers(12, size=N)
"""Units with images of several classes; every one of the twelve has some."""


def drawn_rows() -> list[NDArray[np.int64]]:
    """The images of each resample, by the same seed as below."""
    ((_, counts),) = resample_counts(LABELS, R, np.random.default_rng(7), MIXED)
    return [np.repeat(np.arange(N), weights) for weights in counts]


@pytest.mark.parametrize("metric", METRICS)
def test_a_draw_is_the_metric_of_the_images_of_the_units_that_were_drawn(metric: Metric) -> None:
    models = [probabilities(1, LABELS), probabilities(2, LABELS)]
    drawn = draw(metric, models, LABELS, resamples=R, rng=np.random.default_rng(7), units=MIXED)
    for number, said_NK in enumerate(models):
        for value, rows in zip(drawn[number], drawn_rows(), strict=True):
            assert value == pytest.approx(metrics(said_NK[rows], LABELS[rows])[metric], rel=1e-6)


def test_so_are_a_class_figures_and_the_calibration_error() -> None:
    said_NK = probabilities(1, LABELS)
    options = {"resamples": R, "units": MIXED}
    errors = draw_calibration(said_NK, LABELS, bins=BINS, rng=np.random.default_rng(7), **options)
    classes = draw_classes(said_NK, LABELS, rng=np.random.default_rng(7), **options)
    for place, rows in enumerate(drawn_rows()):
        labels_N, named_N = LABELS[rows], said_NK[rows].argmax(axis=1)
        assert errors[place] == pytest.approx(calibration(said_NK[rows], labels_N).error, rel=1e-6)
        recall = [np.mean(named_N[labels_N == k] == k) for k in range(K)]
        assert classes[1, place] == pytest.approx(recall)


@pytest.mark.parametrize(
    ("task", "metric"),
    [(task, metric) for task in ("multilabel", "regression") for metric in METRICS_OF[task]],
)
def test_so_are_the_other_tasks_metrics(task: Task, metric: Metric) -> None:
    rng = np.random.default_rng(3)
    if task == "regression":
        targets = rng.normal(1e4, 30.0, N)
        said = (targets + rng.normal(0, 10.0, N))[:, None]
    else:
        targets, said = (rng.random((N, K)) < 0.3).astype(float), rng.random((N, K)).round(2)
    alike = np.zeros(N, np.int64)
    ((_, counts),) = resample_counts(alike, R, np.random.default_rng(7), MIXED)
    (drawn,) = draw_task(
        task, metric, [said], targets, [()], resamples=R, rng=np.random.default_rng(7), units=MIXED
    )
    for value, weights in zip(drawn, counts, strict=True):
        rows = np.repeat(np.arange(N), weights)
        by_hand = task_metrics(task, said[rows], targets[rows], None)[metric]
        assert value == pytest.approx(by_hand, rel=1e-9, abs=1e-9)


def patients(count: int, photographs: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What a model said that is right or wrong about whole patients."""
    rng = np.random.default_rng(4)
    labels_N = np.repeat(np.arange(count) % 2, photographs)
    right_N = np.repeat(rng.random(count) < 0.7, photographs)
    said_NK = np.full((len(labels_N), 2), 0.1, dtype=np.float32)
    said_NK[np.arange(len(labels_N)), np.where(right_N, labels_N, 1 - labels_N)] = 0.9
    return said_NK, labels_N


def width(found: TestResult, name: str) -> float:
    return found.intervals[name].high - found.intervals[name].low


def test_fifty_photographs_of_a_patient_say_as_much_as_one() -> None:
    said_NK, labels_N = patients(40, 50)
    units_N = np.repeat(np.arange(40), 50)
    drawn = measure(said_NK, labels_N, ("a", "b"), seed=0, units=units_N)
    once = measure(said_NK[::50], labels_N[::50], ("a", "b"), seed=0)
    pretended = measure(said_NK, labels_N, ("a", "b"), seed=0)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert drawn.metrics[name] == pytest.approx(once.metrics[name])
        assert width(drawn, name) == pytest.approx(width(once, name), rel=0.1)
        assert width(drawn, name) > 5 * width(pretended, name)
    assert (drawn.n, drawn.units, drawn.fewest_units) == (2000, 40, 20)
    assert TestResult.from_json(drawn.to_json()) == drawn


def test_a_lead_over_few_patients_is_within_noise_however_many_photographs_there_are() -> None:
    said_NK, labels_N = patients(12, 50)
    other_NK = said_NK.copy()
    other_NK[:50] = said_NK[:50, ::-1]  # wrong about one patient more, or less
    units_N = np.repeat(np.arange(12), 50)
    both = (said_NK, other_NK, labels_N)
    assert not compare("accuracy", *both, seed=0).within_noise
    assert compare("accuracy", *both, seed=0, units=units_N).within_noise


def test_a_class_that_a_resample_misses_is_in_no_mean() -> None:
    labels_N = np.array([0, 0, 1, 0, 0, 0])
    units_N = np.array([0, 0, 0, 1, 1, 2])  # class 1 is in one unit, with others
    said_NK = np.eye(2, dtype=np.float32)[labels_N] * 0.8 + 0.1
    for name in METRICS:
        found = interval(name, said_NK, labels_N, seed=0, units=units_N)
        assert np.isfinite([found.low, found.high]).all()
    found = measure(said_NK, labels_N, ("a", "b"), seed=0, units=units_N)
    spread = found.intervals["balanced_accuracy"]
    assert (spread.low, spread.high) == (1.0, 1.0)
    for score in found.classes:
        assert score.intervals is not None
        assert all((each.low, each.high) == (1.0, 1.0) for each in score.intervals)
