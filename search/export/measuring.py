"""Figures of a model on the test set, with their spreads.

Pure and torch-free: what a model said and the true targets in, the frozen values of
``report.py`` out. Intervals are of 95 %, from a bootstrap over test images, or over units of
images that belong together: drawn within their class where each is in one
(``bootstrap.py``), else from all of them (``bootstrap_tasks.py``). They are percentile
intervals, but for the calibration error's.
They say how far the figure would move with other test images, not with another training
run.

Suffixes: N images, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from search.data.targets import Targets
from search.export.bootstrap import Units, draw, draw_calibration, draw_classes
from search.export.bootstrap_tasks import draw_task
from search.export.report import ClassScore, Comparison, Interval, TestResult, class_score
from search.space.spec import METRICS_OF, Metric, Task
from search.training.calibration import BINS, calibration
from search.training.multilabel import decide
from search.training.task_metrics import task_metrics

RESAMPLES = 2_000
LEVEL = 0.95
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def measure(
    said_NK: NDArray[np.floating],
    targets: Targets,
    classes: Sequence[str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    task: Task = "multiclass",
    thresholds: Sequence[float] = (),
    units: Units = None,
) -> TestResult:
    """Everything that is said about one model.

    Args:
        said_NK: What it said of each image: probabilities, or values [N, 1].
        targets: True classes, or values.
        classes: K names; none for a regression.
        seed: Of the bootstrap; the same seed gives the same intervals.
        resamples: Bootstrap test sets, >= 1.
        task: What is learnt.
        thresholds: The model's, of several classes an image; none are 0.5.
        units: What belongs together.

    Raises:
        ValueError: For no images, shapes that do not fit, a label outside its range,
            or an output that is not finite.
    """
    _check(task, said_NK, targets, 1 if task == "regression" else len(classes))
    values = task_metrics(task, said_NK, targets, thresholds or None)
    names = METRICS_OF[task]
    result = TestResult(
        n=len(targets),
        metrics={name: float(values[name]) for name in names},
        intervals={
            name: interval(
                name,
                said_NK,
                targets,
                seed=seed,
                resamples=resamples,
                task=task,
                thresholds=thresholds,
                units=units,
            )
            for name in names
        },
        classes=(),
        cells=(),
        units=0 if units is None else int(units.max()) + 1,
    )
    if task == "multilabel":
        return replace(result, classes=multilabel_scores(said_NK, targets, classes, thresholds))
    if task == "regression":
        return result
    predicted_N = said_NK.argmax(axis=1)
    spreads = class_intervals(said_NK, targets, seed=seed, resamples=resamples, units=units)
    return replace(
        result,
        classes=tuple(
            replace(score, intervals=spread)
            for score, spread in zip(
                class_scores(predicted_N, targets, classes), spreads, strict=True
            )
        ),
        cells=confused(predicted_N, targets),
        calibration=calibration(said_NK, targets),
        calibration_interval=calibration_interval(
            said_NK, targets, seed=seed, resamples=resamples, units=units
        ),
        fewest_units=0 if units is None else _fewest(units, targets),
    )


def class_intervals(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    units: Units = None,
) -> tuple[tuple[Interval, Interval, Interval], ...]:
    """The 95 % intervals of each class's precision, recall and F1."""
    rng = np.random.default_rng(seed)
    drawn = draw_classes(probabilities_NK, labels_N, resamples=resamples, rng=rng, units=units)
    quantile = np.nanquantile if np.isnan(drawn).any() else np.quantile
    lows, highs = quantile(drawn, _TAILS, axis=1)  # each [3, K]
    bounds = [
        [Interval(low=float(low), high=float(high)) for low, high in zip(*pair, strict=True)]
        for pair in zip(lows, highs, strict=True)
    ]
    return tuple(zip(*bounds, strict=True))


def calibration_interval(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    units: Units = None,
) -> Interval:
    """The 95 % basic-bootstrap interval of the calibration error, at least 0.

    The error of few images is too high, and that of images drawn from them again by
    about as much once more: the basic interval, twice the error minus the quantiles,
    takes most of that off, and so can lie below the error itself.

    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 5.2.
    """
    rng = np.random.default_rng(seed)
    error = calibration(probabilities_NK, labels_N).error
    drawn = _percentiles(
        draw_calibration(
            probabilities_NK, labels_N, bins=BINS, resamples=resamples, rng=rng, units=units
        )
    )
    return Interval(low=max(0.0, 2 * error - drawn.high), high=max(0.0, 2 * error - drawn.low))


def interval(
    metric: Metric,
    said_NK: NDArray[np.floating],
    targets: Targets,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    task: Task = "multiclass",
    thresholds: Sequence[float] = (),
    units: Units = None,
) -> Interval:
    """The 95 % percentile-bootstrap interval of one metric.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 13.3.
    Deviation: where each image is in one class, images are drawn within their class,
    as the split was; and units instead of images where there are any.
    """
    _check(task, said_NK, targets, said_NK.shape[1])
    (drawn_R,) = _drawn(task, metric, [said_NK], targets, [thresholds], seed, resamples, units)
    return _percentiles(drawn_R)


def compare(
    metric: Metric,
    first_NK: NDArray[np.floating],
    second_NK: NDArray[np.floating],
    targets: Targets,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    task: Task = "multiclass",
    thresholds: tuple[Sequence[float], Sequence[float]] = ((), ()),
    units: Units = None,
) -> Comparison:
    """First minus second on the same images, with the interval of that difference.

    Args:
        thresholds: Of the first and of the second model; the others as for ``measure``.
    """
    models = (first_NK, second_NK)
    for said_NK in models:
        _check(task, said_NK, targets, first_NK.shape[1])
    first, second = _drawn(task, metric, models, targets, thresholds, seed, resamples, units)
    one, other = (
        task_metrics(task, said_NK, targets, own or None)[metric]
        for said_NK, own in zip(models, thresholds, strict=True)
    )
    return Comparison(
        metric=metric,
        difference=float(one - other),
        interval=_percentiles(first - second),
    )


def _drawn(
    task: Task,
    metric: Metric,
    models: Sequence[NDArray[np.floating]],
    targets: Targets,
    thresholds: Sequence[Sequence[float]],
    seed: int,
    resamples: int,
    units: Units,
) -> NDArray[np.float64]:
    """[M, R], all models on the same resamples."""
    rng = np.random.default_rng(seed)
    if task == "multiclass":
        return draw(metric, models, targets, resamples=resamples, rng=rng, units=units)
    return draw_task(
        task, metric, models, targets, thresholds, resamples=resamples, rng=rng, units=units
    )


def _fewest(units: NDArray[np.integer], labels_N: NDArray[np.integer]) -> int:
    """Units of the class that is in the fewest of them."""
    return min(len(np.unique(units[labels_N == label])) for label in np.unique(labels_N))


def confused(
    predicted_N: NDArray[np.integer], labels_N: NDArray[np.integer]
) -> tuple[tuple[int, int, int], ...]:
    """(true, predicted, images), e.g. ``((0, 0, 1), (0, 1, 1))`` for true 0, 0 as 0, 1."""
    pairs, counts = np.unique(np.stack([labels_N, predicted_N]), axis=1, return_counts=True)
    return tuple(
        (int(true), int(predicted), int(count))
        for true, predicted, count in zip(*pairs, counts, strict=True)
    )


def class_scores(
    predicted_N: NDArray[np.integer], labels_N: NDArray[np.integer], classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    """Precision, recall, F1 and support of each class."""
    support, named, hits = (
        np.bincount(each, minlength=len(classes))
        for each in (labels_N, predicted_N, labels_N[labels_N == predicted_N])
    )
    return _scores(classes, support, named, hits)


def multilabel_scores(
    said_NK: NDArray[np.floating],
    targets_NK: NDArray[np.floating],
    classes: Sequence[str],
    thresholds: Sequence[float] = (),
) -> tuple[ClassScore, ...]:
    """The same, of images in several classes, at thresholds."""
    called_NK = decide(said_NK, np.asarray(thresholds) if thresholds else None)
    actual_NK = targets_NK > 0.5
    hits_NK = called_NK & actual_NK
    return _scores(classes, actual_NK.sum(axis=0), called_NK.sum(axis=0), hits_NK.sum(axis=0))


def _scores(
    classes: Sequence[str],
    support_K: NDArray[np.integer],
    named_K: NDArray[np.integer],
    hits_K: NDArray[np.integer],
) -> tuple[ClassScore, ...]:
    counts = zip(classes, hits_K.tolist(), named_K.tolist(), support_K.tolist(), strict=True)
    return tuple(class_score(name, hits, called, support) for name, hits, called, support in counts)


def _check(task: Task, said_NK: NDArray[np.floating], targets: Targets, outputs: int) -> None:
    if said_NK.shape != (len(targets), outputs) or not len(targets):
        raise ValueError(
            f"need one row of {outputs} outputs for each of at least one label, "
            f"got {said_NK.shape} for {len(targets)} labels"
        )
    if task == "multiclass" and (targets.min() < 0 or targets.max() >= said_NK.shape[1]):
        raise ValueError(f"labels must be in range({said_NK.shape[1]})")
    if not np.isfinite(said_NK).all():
        raise ValueError("what a model said must be finite")


def _percentiles(drawn_R: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn_R, _TAILS)
    return Interval(low=float(low), high=float(high))
