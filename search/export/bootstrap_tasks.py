"""Bootstrap draws of the metrics of several classes an image, and of numbers.

Images, or units of them (``bootstrap.py``), are drawn from the whole test set: where an
image is in several classes, there is no class to draw within. Every metric but mAP is made
of sums over images, so a resample is a row of counts and costs one product of matrices.
Suffixes: N images, K classes, R resamples, M models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.targets import Targets
from search.export.bootstrap import Floats, Ints, Units, resample_counts
from search.space.spec import Metric, Task
from search.training.multilabel import decide, f1, macro_f1, pair_losses

_WORK = 400_000_000
"""Resamples x images x classes x models above which mAP gets fewer resamples."""
_FEWEST = 200


def draw_task(
    task: Task,
    metric: Metric,
    models: Sequence[NDArray[np.floating]],
    targets: Targets,
    thresholds: Sequence[Sequence[float]],
    *,
    resamples: int,
    rng: np.random.Generator,
    units: Units = None,
) -> Floats:
    """The metric of each model on each resampled test set, [M, R].

    Args:
        task: ``multilabel`` or ``regression``.
        metric: One of the task's.
        models: What each model said of the same images, [N, K].
        targets: Of these images.
        thresholds: Of each model, of each class; empty is 0.5.
        resamples: How many; mAP takes fewer (at least 200) where its work is great.
        rng: The source of all draws.
        units: What is drawn.
    """
    if metric == "mAP":
        work = targets.size * len(models)
        resamples = min(resamples, max(_FEWEST, _WORK // work))
    values = np.empty((len(models), resamples))
    alike = np.zeros(len(targets), np.int64)
    for rows, weights_RN in resample_counts(alike, resamples, rng, units):
        for number, said_NK in enumerate(models):
            if task == "regression":
                drawn = _of_numbers(metric, said_NK[:, 0], targets, weights_RN)
            else:
                limits = np.asarray(thresholds[number]) if len(thresholds[number]) else None
                drawn = _of_classes(metric, said_NK, targets > 0.5, weights_RN, limits)
            values[number, rows] = drawn
    return values


def _of_numbers(
    metric: Metric, said_N: NDArray[np.floating], targets_N: Floats, weights_RN: Ints
) -> Floats:
    errors = said_N.astype(np.float64) - targets_N
    count = weights_RN.sum(axis=1)
    if metric == "mae":
        return np.asarray(weights_RN @ np.abs(errors) / count)
    squared = weights_RN @ np.square(errors) / count
    if metric in ("rmse", "loss"):
        return np.asarray(np.sqrt(squared) if metric == "rmse" else squared)
    if metric != "r2":
        raise ValueError(f"not a metric of numbers: {metric}")
    centred = targets_N - targets_N.mean()  # sums of squares keep their digits
    variance = weights_RN @ np.square(centred) / count - (weights_RN @ centred / count) ** 2
    # One image drawn again and again has no variance.
    told = variance > 1e-12 * max(float(np.square(centred).mean()), 1e-300)
    plain = np.where(squared == 0, 1.0, 0.0)
    return np.asarray(np.where(told, 1.0 - squared / np.where(told, variance, 1.0), plain))


def _of_classes(
    metric: Metric,
    said_NK: NDArray[np.floating],
    positive_NK: NDArray[np.bool_],
    weights_RN: Ints,
    thresholds_K: Floats | None,
) -> Floats:
    if metric == "mAP":
        return _mean_average_precision(said_NK, positive_NK, weights_RN)
    if metric == "loss":
        losses_N = pair_losses(said_NK, positive_NK).mean(axis=1)
        return np.asarray(weights_RN @ losses_N / weights_RN.sum(axis=1))
    called_NK = decide(said_NK, thresholds_K)
    hits, called, actual = (
        weights_RN @ each.astype(np.int64)
        for each in (called_NK & positive_NK, called_NK, positive_NK)
    )
    if metric == "macro_f1":
        return macro_f1(hits, called, actual)
    if metric == "micro_f1":
        return f1(hits.sum(axis=1), called.sum(axis=1), actual.sum(axis=1))
    raise ValueError(f"not a metric of several classes: {metric}")


def _mean_average_precision(
    said_NK: NDArray[np.floating], positive_NK: NDArray[np.bool_], weights_RN: Ints
) -> Floats:
    """Over the classes that a resample has."""
    total = np.zeros(len(weights_RN))
    counted = np.zeros(len(weights_RN), dtype=np.int64)
    for k in np.flatnonzero(positive_NK.any(axis=0)):
        order = np.argsort(-said_NK[:, k], kind="stable")
        ranked = said_NK[order, k]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        weights = weights_RN[:, order]
        hits = np.cumsum(weights * positive_NK[order, k], axis=1)[:, last]
        called = np.cumsum(weights, axis=1)[:, last]
        gained = np.diff(hits, axis=1, prepend=0)
        precision = (gained * hits / np.maximum(called, 1)).sum(axis=1)
        has = hits[:, -1] > 0
        total += np.where(has, precision / np.maximum(hits[:, -1], 1), 0.0)
        counted += has
    return np.asarray(total / np.maximum(counted, 1))
