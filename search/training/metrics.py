"""All metrics of a classifier from its probabilities. numpy alone.

scikit-learn defines what each number means, and a test compares them; it is not
imported here because its import costs 4.5 s in every worker.

N images, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.space.spec import METRICS

_SMALLEST = 1e-38
"""Probabilities are raised to this in the loss; below it float32 has no more."""


def metrics(
    probabilities_NK: NDArray[np.floating], labels_N: NDArray[np.integer]
) -> dict[str, float]:
    """Every metric of ``METRICS`` by name, in that order.

    Args:
        probabilities_NK: Rows sum to 1; finite.
        labels_N: Class indices, 0..K-1; at least one.

    Returns:
        - ``balanced_accuracy``: mean recall over the classes that occur.
        - ``accuracy``: share of images whose likeliest class is right; the lowest
          index wins a tie.
        - ``macro_f1``, ``macro_precision``, ``macro_recall``: unweighted means over
          the classes that occur or are predicted; 0 where undefined.
        - ``auroc``: of class 1 for K = 2; else each class against the rest, mean
          over the classes that occur. 0.5 when only one class occurs.
        - ``loss``: mean cross-entropy in nats, without label smoothing.

    Raises:
        ValueError: If shapes disagree, there is no image, or a value is not finite.
    """
    probabilities = np.asarray(probabilities_NK, dtype=np.float64)
    labels = np.asarray(labels_N, dtype=np.int64)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            f"need [N, K] and [N] with N >= 1, got {probabilities.shape}, {labels.shape}"
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities are not finite")
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    actual_K = np.bincount(labels, minlength=classes)
    predicted_K = np.bincount(predicted, minlength=classes)
    right_K = np.bincount(labels[predicted == labels], minlength=classes)
    recall = _ratio(right_K, actual_K)
    precision = _ratio(right_K, predicted_K)
    f1 = _ratio(2 * right_K, actual_K + predicted_K)
    occurs = actual_K > 0
    counted = occurs | (predicted_K > 0)
    chosen = np.maximum(probabilities[np.arange(len(labels)), labels], _SMALLEST)
    values = {
        "balanced_accuracy": recall[occurs].mean(),
        "accuracy": right_K.sum() / len(labels),
        "macro_f1": f1[counted].mean(),
        "macro_precision": precision[counted].mean(),
        "macro_recall": recall[counted].mean(),
        "auroc": _auroc(probabilities, labels, occurs),
        "loss": -np.log(chosen).mean(),
    }
    return {name: float(values[name]) for name in METRICS}


def _ratio(part_K: NDArray[np.int64], whole_K: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole_K > 0, part_K / np.maximum(whole_K, 1), 0.0)


def _auroc(
    probabilities_NK: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    occurs_K: NDArray[np.bool_],
) -> float:
    if occurs_K.sum() < 2:
        return 0.5
    wanted = [1] if len(occurs_K) == 2 else np.flatnonzero(occurs_K)
    areas = [_area(probabilities_NK[:, k], labels_N == k) for k in wanted]
    return float(np.mean(areas))


def _area(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> float:
    """Share of (positive, negative) pairs in the right order; a tie counts half."""
    _, place, counts = np.unique(scores_N, return_inverse=True, return_counts=True)
    rank_N = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(positive_N.sum())
    negatives = len(scores_N) - positives
    above = rank_N[positive_N].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
