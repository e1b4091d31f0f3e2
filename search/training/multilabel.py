"""Metrics of images in several classes, and the thresholds that decide. numpy alone.

N images, K classes. Classes that no image is in have no average precision, and are in
no mean of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF = 0.5
"""The threshold of a class before any was tuned."""
_SMALLEST = 1e-38
"""Probabilities are raised to this in the loss, as in ``metrics.py``."""


def multilabel_metrics(
    probabilities_NK: NDArray[np.floating],
    targets_NK: NDArray[np.floating],
    thresholds_K: NDArray[np.floating] | None = None,
) -> dict[str, float]:
    """Every metric of the task by name.

    Args:
        probabilities_NK: In 0..1, each class on its own.
        targets_NK: 1 where an image is in a class, else 0.
        thresholds_K: An image is taken to be in a class from this probability on;
            None is HALF for all.

    Returns:
        - ``mAP``: mean over the classes that occur of the average precision; needs no
          threshold. 0 where none occurs.
        - ``macro_f1``: mean F1 of the classes that occur or are predicted.
        - ``micro_f1``: F1 of all (image, class) pairs together.
        - ``loss``: mean binary cross-entropy of a pair, in nats.
    """
    probabilities = np.asarray(probabilities_NK, dtype=np.float64)
    positive = np.asarray(targets_NK) > HALF
    precisions = [
        average_precision(probabilities[:, k], positive[:, k])
        for k in np.flatnonzero(positive.any(axis=0))
    ]
    predicted = decide(probabilities, thresholds_K)
    hits_K = (predicted & positive).sum(axis=0)
    called_K, actual_K = predicted.sum(axis=0), positive.sum(axis=0)
    return {
        "mAP": float(np.mean(precisions)) if precisions else 0.0,
        "macro_f1": float(macro_f1(hits_K, called_K, actual_K)),
        "micro_f1": float(f1(hits_K.sum(), called_K.sum(), actual_K.sum())),
        "loss": float(pair_losses(probabilities, positive).mean()),
    }


def decide(
    probabilities_NK: NDArray[np.floating], thresholds_K: NDArray[np.floating] | None
) -> NDArray[np.bool_]:
    """Which classes each image is taken to be in."""
    return np.asarray(probabilities_NK >= (HALF if thresholds_K is None else thresholds_K))


def f1(
    hits: NDArray[np.integer], called: NDArray[np.integer], actual: NDArray[np.integer]
) -> Floats:
    """F1 from counts, for any axes; 0 where nothing occurs and nothing is predicted."""
    return np.asarray(2 * hits / np.maximum(called + actual, 1), dtype=np.float64)


def macro_f1(
    hits_K: NDArray[np.integer], called_K: NDArray[np.integer], actual_K: NDArray[np.integer]
) -> Floats:
    """Mean F1 over the last axis of the classes that occur or are predicted; 0 of none."""
    counted = (called_K + actual_K > 0).sum(axis=-1)
    return np.asarray(f1(hits_K, called_K, actual_K).sum(axis=-1) / np.maximum(counted, 1))


def pair_losses(probabilities_NK: NDArray[np.floating], positive_NK: NDArray[np.bool_]) -> Floats:
    """Binary cross-entropy of each (image, class) pair, in nats."""
    probabilities = np.asarray(probabilities_NK, dtype=np.float64)
    right = np.where(positive_NK, probabilities, 1.0 - probabilities)
    return np.asarray(-np.log(np.maximum(right, _SMALLEST)))


def average_precision(scores_N: NDArray[np.floating], positive_N: NDArray[np.bool_]) -> float:
    """The sum over thresholds of precision times the recall gained, as scikit-learn's.

    Equal scores are one threshold. At least one image is positive.
    """
    order = np.argsort(-scores_N, kind="stable")
    ranked, positive = scores_N[order], positive_N[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(positive)[last]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (last + 1)).sum() / hits[-1])


def tuned_thresholds(
    probabilities_NK: NDArray[np.floating], targets_NK: NDArray[np.floating]
) -> tuple[float, ...]:
    """For each class, the threshold with the best F1 on these images.

    Half way between two probabilities that occur, or below the lowest; the nearest to
    HALF of those that are as good. HALF where no image is in the class.

    Source: Lipton et al., "Optimal Thresholding of Classifiers to Maximize F1
    Measure", ECML 2014. They warn that a class with few images gets a threshold that
    says much of these images and little of others: tune on validation, judge on test.
    """
    return tuple(
        _tuned(np.asarray(probabilities_NK[:, k], dtype=np.float64), targets_NK[:, k] > HALF)
        for k in range(targets_NK.shape[1])
    )


def _tuned(scores_N: Floats, positive_N: NDArray[np.bool_]) -> float:
    if not positive_N.any():
        return HALF
    order = np.argsort(-scores_N, kind="stable")
    ranked, positive = scores_N[order], positive_N[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    actual = np.full(len(last), positive_N.sum(), dtype=np.int64)
    values = f1(np.cumsum(positive, dtype=np.int64)[last], last + 1, actual)
    lower = np.append(ranked[last[:-1] + 1], 0.0)
    between = (ranked[last] + lower) / 2
    best = np.flatnonzero(values == values.max())
    return float(min(between[best], key=lambda threshold: abs(threshold - HALF)))
