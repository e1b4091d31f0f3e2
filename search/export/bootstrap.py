"""Stratified bootstrap draws of every metric, from counts where counts are enough.

Pure: numpy alone, randomness is an argument. Suffixes: N images, K classes,
R resamples, M models, U distinct outcomes of one class. Every resample keeps
the number of images of each class: the split is stratified, so those numbers
were fixed before any model was trained, and a resample never loses a class. A
class with a single test image therefore adds no spread.

Models are drawn together, on the same images, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from search.space.spec import Metric
from search.training.calibration import binned

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK = 4_000_000
"""Array elements drawn at a time; bounds memory to about 32 MB an array."""
_AUROC_WORK = 400_000_000
"""Resamples x images x curves above which AUROC gets fewer resamples."""
_FEWEST = 200
"""AUROC never gets fewer resamples than this, unless fewer were asked for."""
_SMALLEST = 1e-38
"""Probabilities are raised to this in the loss, as in ``search.training.metrics``."""


def draw(
    metric: Metric,
    models: Sequence[NDArray[np.floating]],
    labels_N: NDArray[np.integer],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """The metric of each model on each of ``resamples`` resampled test sets.

    Args:
        metric: Any of METRICS.
        models: Probabilities [N, K] of each model for the same images.
        labels_N: The true classes, in ``range(K)``.
        resamples: How many; AUROC takes fewer (at least 200) where
            resamples x images x curves passes 4e8.
        rng: The source of all draws.

    Returns:
        [M, R], defined as in ``search.training.metrics``.
    """
    labels = np.asarray(labels_N, dtype=np.int64)
    if metric == "loss":
        return _loss(models, labels, resamples, rng)
    if metric == "auroc":
        return _auroc(models, labels, resamples, rng)
    return _from_predictions(metric, models, labels, resamples, rng)


def _from_predictions(
    metric: Metric,
    models: Sequence[NDArray[np.floating]],
    labels: Ints,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """Metrics of the predicted class alone.

    Drawing n images of a class with replacement and counting what was predicted
    is a multinomial draw over the distinct predictions of that class; no image
    is touched, so the cost does not grow with N.
    """
    support_K = np.bincount(labels, minlength=models[0].shape[1])
    values = np.empty((len(models), resamples))
    for rows, hits, named in _counted(models, labels, resamples, rng):
        values[:, rows] = from_counts(metric, hits, named, support_K)
    return values


def draw_classes(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """Precision, recall and F1 of every class on resampled test sets, [3, R, K].

    Defined as in ``measuring.class_scores``. For many classes R is less than
    ``resamples``, at least 200, so that no more than 4e6 values of each are held.
    """
    labels = np.asarray(labels_N, dtype=np.int64)
    classes = probabilities_NK.shape[1]
    resamples = min(resamples, max(_FEWEST, _CHUNK // classes))
    support_K = np.bincount(labels, minlength=classes)
    values = np.empty((3, resamples, classes))
    for rows, hits, named in _counted([probabilities_NK], labels, resamples, rng):
        values[0, rows] = hits[0] / np.maximum(named[0], 1)
        values[1, rows] = hits[0] / np.maximum(support_K, 1)
        values[2, rows] = 2 * hits[0] / np.maximum(named[0] + support_K, 1)
    return values


def draw_calibration(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    bins: int,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """The expected calibration error on resampled test sets, [R]; defined as in
    ``search.training.calibration``."""
    confidence_N, right_N, bin_N = binned(probabilities_NK, labels_N, bins=bins)
    # A bin's share of the error is |sum of (right - confidence)| over its images.
    gap_NM = np.zeros((len(bin_N), bins))
    gap_NM[np.arange(len(bin_N)), bin_N] = right_N - confidence_N
    errors = np.empty(resamples)
    labels = np.asarray(labels_N, dtype=np.int64)
    for rows, weights_RN in resample_counts(labels, resamples, rng):
        errors[rows] = np.abs(weights_RN @ gap_NM).sum(axis=1) / len(bin_N)
    return errors


def _counted(
    models: Sequence[NDArray[np.floating]],
    labels: Ints,
    resamples: int,
    rng: np.random.Generator,
) -> Iterator[tuple[slice, Ints, Ints]]:
    """Resamples, a chunk at a time, with the hits and the predictions of each class in
    them, [M, rows, K]."""
    classes = models[0].shape[1]
    predicted_MN = np.stack([probabilities.argmax(axis=1) for probabilities in models])
    outcomes = [
        (true, len(where), *np.unique(predicted_MN[:, where], axis=1, return_counts=True))
        for true, where in _strata(labels)
    ]
    for rows in _rows(resamples, classes):
        height = rows.stop - rows.start
        hits = np.zeros((len(models), height, classes), dtype=np.int64)
        named = np.zeros_like(hits)
        for true, size, outcomes_MU, counts_U in outcomes:
            drawn_RU = rng.multinomial(size, counts_U / size, size=height)
            for model, outcomes_U in enumerate(outcomes_MU):
                for column, outcome in enumerate(outcomes_U):
                    named[model, :, outcome] += drawn_RU[:, column]
                hits[model, :, true] += drawn_RU[:, outcomes_U == true].sum(axis=1)
        yield rows, hits, named


def from_counts(metric: Metric, hits: Ints, named: Ints, support_K: Ints) -> Floats:
    """A metric of the predicted class, for any leading axes.

    Args:
        metric: Not ``loss`` or ``auroc``.
        hits: [..., K] images of a class that were predicted to be in it.
        named: [..., K] images that were predicted to be in a class.
        support_K: Images of each class. Classes that neither occur nor are
            predicted are in no mean, as in ``search.training.metrics``.
    """
    if metric == "accuracy":
        return np.asarray(hits.sum(axis=-1) / support_K.sum(), dtype=np.float64)
    if metric == "macro_precision":
        each = hits / np.maximum(named, 1)
    elif metric == "macro_f1":
        each = 2 * hits / np.maximum(named + support_K, 1)
    elif metric in ("balanced_accuracy", "macro_recall"):
        each = hits / np.maximum(support_K, 1)
    else:
        raise ValueError(f"not a metric of the predicted class: {metric}")
    counted = (support_K > 0) | (named > 0 if metric.startswith("macro") else False)
    total = np.broadcast_to(counted, hits.shape).sum(axis=-1)
    return np.asarray(each.sum(axis=-1) / total, dtype=np.float64)


def _loss(
    models: Sequence[NDArray[np.floating]],
    labels: Ints,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    losses_MN = np.stack([cross_entropy(each, labels) for each in models])
    totals = np.zeros((len(models), resamples))
    for _, where in _strata(labels):
        for rows, drawn_RN in _indices(len(where), resamples, rng):
            totals[:, rows] += losses_MN[:, where][:, drawn_RN].sum(axis=2)
    return totals / len(labels)


def cross_entropy(probabilities_NK: NDArray[np.floating], labels_N: Ints) -> Floats:
    """Minus the log of the true class's probability, of each image, in nats."""
    true_N = probabilities_NK[np.arange(len(labels_N)), labels_N].astype(np.float64)
    return np.asarray(-np.log(np.maximum(true_N, _SMALLEST)), dtype=np.float64)


def _auroc(
    models: Sequence[NDArray[np.floating]],
    labels: Ints,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """One curve of class 1 for two classes, else the mean of one against the rest."""
    classes = models[0].shape[1]
    present = np.unique(labels)
    if len(present) < 2:
        return np.full((len(models), resamples), 0.5)
    curves = [1] if classes == 2 else [int(each) for each in present]
    work = len(labels) * len(curves) * len(models)
    resamples = min(resamples, max(_FEWEST, _AUROC_WORK // work))
    sums = np.zeros((len(models), resamples))
    for rows, weights_RN in resample_counts(labels, resamples, rng):
        for model, probabilities in enumerate(models):
            for curve in curves:
                sums[model, rows] += _area(probabilities[:, curve], labels == curve, weights_RN)
    return sums / len(curves)


def _area(
    scores_N: NDArray[np.floating], positive_N: NDArray[np.bool_], weights_RN: Ints
) -> Floats:
    """Area under the ROC curve of each row of weights; a tie counts one half.

    Source: the Mann-Whitney form: the share of (positive, negative) pairs in
    which the positive has the higher score.
    """
    order = np.argsort(scores_N, kind="stable")
    ranked, positive = scores_N[order], positive_N[order]
    weights = weights_RN[:, order]
    below = np.zeros((len(weights), len(ranked) + 1), dtype=np.int64)
    np.cumsum(weights * ~positive, axis=1, out=below[:, 1:])
    first = np.searchsorted(ranked, ranked[positive], side="left")
    after = np.searchsorted(ranked, ranked[positive], side="right")
    won = (weights[:, positive] * (below[:, first] + below[:, after])).sum(axis=1) / 2
    total = below[:, -1]
    return np.asarray(won / (total * (weights.sum(axis=1) - total)), dtype=np.float64)


def _strata(labels: Ints) -> Iterator[tuple[int, Ints]]:
    """Each class that has images, with their positions."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    for label, where in zip(present, np.split(order, starts[1:]), strict=True):
        yield int(label), where


def _indices(size: int, resamples: int, rng: np.random.Generator) -> Iterator[tuple[slice, Ints]]:
    """Rows of draws with replacement from ``range(size)``, a chunk at a time."""
    for rows in _rows(resamples, size):
        yield rows, rng.integers(size, size=(rows.stop - rows.start, size))


def _rows(resamples: int, width: int) -> Iterator[slice]:
    """Consecutive resamples whose arrays of ``width`` columns fit a chunk."""
    step = max(1, _CHUNK // width)
    for start in range(0, resamples, step):
        yield slice(start, min(start + step, resamples))


def resample_counts(
    labels: Ints, resamples: int, rng: np.random.Generator
) -> Iterator[tuple[slice, Ints]]:
    """How often each image was drawn, within its label: [rows, N], a chunk of rows at a
    time."""
    for rows in _rows(resamples, len(labels)):
        height = rows.stop - rows.start
        weights = np.zeros((height, len(labels)), dtype=np.int64)
        offsets = np.arange(height)[:, None]
        for _, where in _strata(labels):
            size = len(where)
            drawn = rng.integers(size, size=(height, size)) + offsets * size
            counts = np.bincount(drawn.ravel(), minlength=height * size)
            weights[:, where] = counts.reshape(height, size)
        yield rows, weights
