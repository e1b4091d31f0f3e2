"""What a trial says of the validation images at its best epoch, beside its metrics.

What people look at: which class is taken for which, how far probabilities can be
believed, how values lie beside the true ones, and the images that it is most wrong
about. Pure: numpy alone; cheap enough to be made at every epoch that is the best so
far, and of a size that does not grow with the images.

N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.training.calibration import calibration
from search.training.multilabel import HALF, average_precision, decide, pair_losses
from search.training.report import EpochReport

WORST = 12
"""Images of which it is said what went wrong."""
PAIRS = 1000
"""Images of a regression whose values are kept, at most: evenly over the true values."""
_LABELS = 50
"""Classes of one image that are named."""
_SMALLEST = 1e-38
"""Probabilities are raised to this in the loss, as in ``metrics.py``."""


def judged(
    epoch: int, probabilities_NK: NDArray[np.floating], labels_N: NDArray[np.integer]
) -> dict[str, Any]:
    """What a classifier says of the validation images, as JSON values.

    Args:
        epoch: Whose weights these are.
        probabilities_NK: Rows sum to 1; finite.
        labels_N: Class indices.

    Returns:
        ``cells`` [true class, predicted class, images] where there are any;
        ``worst``, at most WORST images that are called another class, by falling
        loss: image (index into the validation part), true class, called, probability
        of each, loss.
    """
    true_N = probabilities_NK[np.arange(len(labels_N)), labels_N].astype(np.float64)
    loss_N = -np.log(np.maximum(true_N, _SMALLEST))
    called_N = probabilities_NK.argmax(axis=1)
    wrong = np.flatnonzero(called_N != labels_N)
    worst = wrong[np.argsort(-loss_N[wrong], kind="stable")[:WORST]]
    classes = probabilities_NK.shape[1]
    pair, counts = np.unique(labels_N * classes + called_N, return_counts=True)
    return {
        "epoch": epoch,
        "images": len(labels_N),
        "cells": [
            [int(each // classes), int(each % classes), int(count)]
            for each, count in zip(pair, counts, strict=True)
        ],
        "calibration": calibration(probabilities_NK, labels_N).to_json(),
        "worst": [
            {
                "image": int(each),
                "true": int(labels_N[each]),
                "called": int(called_N[each]),
                "probability_of_true": float(true_N[each]),
                "probability_of_called": float(probabilities_NK[each, called_N[each]]),
                "loss": float(loss_N[each]),
            }
            for each in worst
        ],
    }


def judged_labels(
    epoch: int,
    probabilities_NK: NDArray[np.floating],
    targets_NK: NDArray[np.floating],
    thresholds: Sequence[float],
) -> dict[str, Any]:
    """What a classifier says of images in several classes, as JSON values.

    Args:
        epoch: Whose weights these are.
        probabilities_NK: Each class on its own; finite.
        targets_NK: 1 where an image is in a class, else 0.
        thresholds: Of each class; an image is called it from this probability on.

    Returns:
        ``classes``, for each its ``threshold``, ``counts`` [[not in it and not called so,
        not in it but called so], [in it but not called so, in it and called so]], and
        ``average_precision``, None where no image is in it. ``worst``, at most WORST
        images about which some class is wrong, by falling loss (the mean over classes):
        image (index into the validation part), true and called classes (at most 50 of
        each; ``classes_true`` and ``classes_called`` count them all), loss.
    """
    positive_NK = np.asarray(targets_NK) > HALF
    called_NK = decide(probabilities_NK, np.asarray(thresholds))
    hits_K = (called_NK & positive_NK).sum(axis=0)
    called_K, actual_K = called_NK.sum(axis=0), positive_NK.sum(axis=0)
    loss_N = pair_losses(probabilities_NK, positive_NK).mean(axis=1)
    wrong = np.flatnonzero((called_NK != positive_NK).any(axis=1))
    worst = wrong[np.argsort(-loss_N[wrong], kind="stable")[:WORST]]
    images = len(targets_NK)
    return {
        "epoch": epoch,
        "images": images,
        "classes": [
            {
                "threshold": float(threshold),
                "counts": _two_by_two(images, int(hits_K[k]), int(called_K[k]), int(actual_K[k])),
                "average_precision": average_precision(probabilities_NK[:, k], positive_NK[:, k])
                if actual_K[k]
                else None,
            }
            for k, threshold in enumerate(thresholds)
        ],
        "worst": [
            {
                "image": int(each),
                "true": np.flatnonzero(positive_NK[each])[:_LABELS].tolist(),
                "called": np.flatnonzero(called_NK[each])[:_LABELS].tolist(),
                "classes_true": int(positive_NK[each].sum()),
                "classes_called": int(called_NK[each].sum()),
                "loss": float(loss_N[each]),
            }
            for each in worst
        ],
    }


def _two_by_two(images: int, hits: int, called: int, actual: int) -> list[list[int]]:
    return [[images - called - actual + hits, called - hits], [actual - hits, hits]]


def judged_values(
    epoch: int, said_N: NDArray[np.floating], targets_N: NDArray[np.floating]
) -> dict[str, Any]:
    """What a regression says of the validation images, as JSON values in the unit.

    Args:
        epoch: Whose weights these are.
        said_N: Finite.
        targets_N: The true values.

    Returns:
        ``pairs`` [true, predicted] by rising true value, of at most PAIRS images;
        ``residuals``, predicted minus true over all images: ``mean`` and the
        ``quantiles`` at 0, 5, 25, 50, 75, 95 and 100 %; ``worst``, at most WORST images
        by falling absolute error: image (index into the validation part), true,
        predicted, error (predicted minus true).
    """
    true_N = np.asarray(targets_N, dtype=np.float64)
    predicted_N = np.asarray(said_N, dtype=np.float64)
    error_N = predicted_N - true_N
    order = np.argsort(true_N, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(len(order), PAIRS)).round().astype(np.int64)]
    worst = np.argsort(-np.abs(error_N), kind="stable")[:WORST]
    return {
        "epoch": epoch,
        "images": len(true_N),
        "pairs": [[float(true_N[each]), float(predicted_N[each])] for each in chosen],
        "residuals": {
            "mean": float(error_N.mean()),
            "quantiles": {
                f"{percent}": float(np.percentile(error_N, percent))
                for percent in (0, 5, 25, 50, 75, 95, 100)
            },
        },
        "worst": [
            {
                "image": int(each),
                "true": float(true_N[each]),
                "predicted": float(predicted_N[each]),
                "error": float(error_N[each]),
            }
            for each in worst
            if error_N[each] != 0
        ],
    }


def curves(curve: Sequence[EpochReport]) -> list[dict[str, Any]]:
    """All epochs of a trial, as JSON values: losses, metrics and seconds."""
    return [
        {
            "epoch": report.epoch,
            "train_loss": report.train_loss,
            "metrics": dict(report.metrics),
            "seconds": report.seconds,
        }
        for report in curve
    ]
