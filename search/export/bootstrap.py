"""Stratified bootstrap draws of every metric, from counts where counts are enough.

Pure: numpy alone, randomness is an argument. Suffixes: N images, K classes,
R resamples, M models, U distinct outcomes of one class. Every resample keeps
the number of images of each class: the split is stratified, so those numbers
were fixed before any model was trained, and a resample never loses a class. A
class with a single test image therefore adds no spread.

Where images belong together (several of one patient, copies of one file), what is drawn
are these *units*, each with all its images: a unit of one class within that class, those of
several classes among themselves. Drawn by themselves, images of few units would pretend to
tell more than they do. Source: the cluster bootstrap, Davison and Hinkley, "Bootstrap Methods
and their Application", 3.8. The number of images then differs from resample to resample, and
a class that no unit has to itself can be missing in one; it is then in no mean there.

Models are drawn together, on the same images, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.space.spec import Metric
from search.training.calibration import binned

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Units: TypeAlias = "Ints | None"
"""[N], the unit of each image, in ``range(units)``; None where each is one by itself."""

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
    units: Units = None,
) -> Floats:
    """The metric of each model on each of ``resamples`` resampled test sets.

    Args:
        metric: Any of METRICS.
        models: Probabilities [N, K] of each model for the same images.
        labels_N: The true classes, in ``range(K)``.
        resamples: How many; AUROC takes fewer (at least 200) where
            resamples x images x curves passes 4e8.
        rng: The source of all draws.
        units: What is drawn.

    Returns:
        [M, R], defined as in ``search.training.metrics``.
    """
    labels = np.asarray(labels_N, dtype=np.int64)
    if metric == "loss":
        return _loss(models, labels, resamples, rng, units)
    if metric == "auroc":
        return _auroc(models, labels, resamples, rng, units)
    return _from_predictions(metric, models, labels, resamples, rng, units)


def _from_predictions(
    metric: Metric,
    models: Sequence[NDArray[np.floating]],
    labels: Ints,
    resamples: int,
    rng: np.random.Generator,
    units: Units,
) -> Floats:
    """Metrics of the predicted class alone.

    Drawing n images of a class with replacement and counting what was predicted
    is a multinomial draw over the distinct predictions of that class; no image
    is touched, so the cost does not grow with N.
    """
    values = np.empty((len(models), resamples))
    for rows, hits, named, support in _counted(models, labels, resamples, rng, units):
        values[:, rows] = from_counts(metric, hits, named, support)
    return values


def draw_classes(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    resamples: int,
    rng: np.random.Generator,
    units: Units = None,
) -> Floats:
    """Precision, recall and F1 of every class on resampled test sets, [3, R, K].

    Defined as in ``measuring.class_scores``. For many classes R is less than
    ``resamples``, at least 200, so that no more than 4e6 values of each are held. NaN where
    a resample misses a class that there are images of.
    """
    labels = np.asarray(labels_N, dtype=np.int64)
    classes = probabilities_NK.shape[1]
    resamples = min(resamples, max(_FEWEST, _CHUNK // classes))
    values = np.empty((3, resamples, classes))
    for rows, hits, named, support in _counted([probabilities_NK], labels, resamples, rng, units):
        values[0, rows] = hits[0] / np.maximum(named[0], 1)
        values[1, rows] = hits[0] / np.maximum(support, 1)
        values[2, rows] = 2 * hits[0] / np.maximum(named[0] + support, 1)
        missed = (support == 0) & (np.bincount(labels, minlength=classes) > 0)
        if missed.any():
            values[:, rows][:, missed] = np.nan
    return values


def draw_calibration(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    bins: int,
    resamples: int,
    rng: np.random.Generator,
    units: Units = None,
) -> Floats:
    """The expected calibration error on resampled test sets, [R]; defined as in
    ``search.training.calibration``."""
    confidence_N, right_N, bin_N = binned(probabilities_NK, labels_N, bins=bins)
    # A bin's share of the error is |sum of (right - confidence)| over its images.
    gap_NM = np.zeros((len(bin_N), bins))
    gap_NM[np.arange(len(bin_N)), bin_N] = right_N - confidence_N
    errors = np.empty(resamples)
    labels = np.asarray(labels_N, dtype=np.int64)
    for rows, weights_RN in resample_counts(labels, resamples, rng, units):
        errors[rows] = np.abs(weights_RN @ gap_NM).sum(axis=1) / weights_RN.sum(axis=1)
    return errors


def _counted(
    models: Sequence[NDArray[np.floating]],
    labels: Ints,
    resamples: int,
    rng: np.random.Generator,
    units: Units,
) -> Iterator[tuple[slice, Ints, Ints, Ints]]:
    """Resamples, a chunk at a time, with the hits and the predictions of each class in
    them, [M, rows, K], and its images, [rows or 1, K]."""
    classes = models[0].shape[1]
    predicted_MN = np.stack([probabilities.argmax(axis=1) for probabilities in models])
    if units is not None:
        for rows, weights_RN in resample_counts(labels, resamples, rng, units):
            named = np.stack([_summed(weights_RN, each, classes) for each in predicted_MN])
            right = [np.flatnonzero(each == labels) for each in predicted_MN]
            hits = np.stack([_summed(weights_RN[:, own], labels[own], classes) for own in right])
            yield rows, hits, named, _summed(weights_RN, labels, classes)
        return
    support_K = np.bincount(labels, minlength=classes)[None]
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
        yield rows, hits, named, support_K


def _summed(weights_RN: Ints, classes_N: Ints, classes: int) -> Ints:
    """The weights of each class's images, [R, K]."""
    found = np.zeros((len(weights_RN), classes), dtype=np.int64)
    order = np.argsort(classes_N, kind="stable")
    present, starts = np.unique(classes_N[order], return_index=True)
    if len(order):
        found[:, present] = np.add.reduceat(weights_RN[:, order], starts, axis=1)
    return found


def from_counts(metric: Metric, hits: Ints, named: Ints, support: Ints) -> Floats:
    """A metric of the predicted class, for any leading axes.

    Args:
        metric: Not ``loss`` or ``auroc``.
        hits: [..., K] images of a class that were predicted to be in it.
        named: [..., K] images that were predicted to be in a class.
        support: [..., K] images of each class. Classes that neither occur nor are
            predicted are in no mean, as in ``search.training.metrics``.
    """
    if metric == "accuracy":
        return np.asarray(hits.sum(axis=-1) / support.sum(axis=-1), dtype=np.float64)
    if metric == "macro_precision":
        each = hits / np.maximum(named, 1)
    elif metric == "macro_f1":
        each = 2 * hits / np.maximum(named + support, 1)
    elif metric in ("balanced_accuracy", "macro_recall"):
        each = hits / np.maximum(support, 1)
    else:
        raise ValueError(f"not a metric of the predicted class: {metric}")
    counted = (support > 0) | (named > 0 if metric.startswith("macro") else False)
    total = np.broadcast_to(counted, hits.shape).sum(axis=-1)
    return np.asarray(each.sum(axis=-1) / total, dtype=np.float64)


def _loss(
    models: Sequence[NDArray[np.floating]],
    labels: Ints,
    resamples: int,
    rng: np.random.Generator,
    units: Units,
) -> Floats:
    losses_MN = np.stack([cross_entropy(each, labels) for each in models])
    totals = np.zeros((len(models), resamples))
    if units is not None:
        for rows, weights_RN in resample_counts(labels, resamples, rng, units):
            totals[:, rows] = losses_MN @ weights_RN.T / weights_RN.sum(axis=1)
        return totals
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
    units: Units,
) -> Floats:
    """One curve of class 1 for two classes, else the mean of one against the rest: of
    those that have images and are not all there is."""
    classes = models[0].shape[1]
    present = np.unique(labels)
    if len(present) < 2:
        return np.full((len(models), resamples), 0.5)
    curves = [1] if classes == 2 else [int(each) for each in present]
    work = len(labels) * len(curves) * len(models)
    resamples = min(resamples, max(_FEWEST, _AUROC_WORK // work))
    sums = np.zeros((len(models), resamples))
    told = np.zeros((len(models), resamples), dtype=np.int64)
    for rows, weights_RN in resample_counts(labels, resamples, rng, units):
        for model, probabilities in enumerate(models):
            for curve in curves:
                area_R = _area(probabilities[:, curve], labels == curve, weights_RN)
                sums[model, rows] += np.nan_to_num(area_R)
                told[model, rows] += np.isfinite(area_R)
    return np.where(told, sums / np.maximum(told, 1), 0.5)


def _area(
    scores_N: NDArray[np.floating], positive_N: NDArray[np.bool_], weights_RN: Ints
) -> Floats:
    """Area under the ROC curve of each row of weights; a tie counts one half, and NaN is
    that of a row without positives or without negatives.

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
    negatives = below[:, -1]
    pairs = negatives * (weights.sum(axis=1) - negatives)
    return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


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
    labels: Ints, resamples: int, rng: np.random.Generator, units: Units = None
) -> Iterator[tuple[slice, Ints]]:
    """How often each image was drawn, within its label or that of its unit: [rows, N], a
    chunk of rows at a time."""
    strata = labels if units is None else _labels_of(units, labels)
    for rows in _rows(resamples, len(labels)):
        height = rows.stop - rows.start
        weights = np.zeros((height, len(strata)), dtype=np.int64)
        offsets = np.arange(height)[:, None]
        for _, where in _strata(strata):
            size = len(where)
            drawn = rng.integers(size, size=(height, size)) + offsets * size
            counts = np.bincount(drawn.ravel(), minlength=height * size)
            weights[:, where] = counts.reshape(height, size)
        yield rows, weights if units is None else weights[:, units]


def _labels_of(units: Ints, labels: Ints) -> Ints:
    """The class that all images of a unit are in; -1 where they are in several."""
    lowest = np.full(units.max() + 1, labels.max())
    highest = np.full_like(lowest, labels.min())
    np.minimum.at(lowest, units, labels)
    np.maximum.at(highest, units, labels)
    return np.where(lowest == highest, lowest, -1)
