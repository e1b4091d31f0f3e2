"""What a trial says of the validation images at its best epoch, beside its metrics.

What people look at: which class is taken for which, how far probabilities can be
believed, and the images that it is most wrong about. Pure: numpy alone; cheap
enough to be made at every epoch that is the best so far.

N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.training.calibration import calibration
from search.training.report import EpochReport

WORST = 12
"""Images of which it is said what went wrong."""
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
