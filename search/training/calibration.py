"""How far a classifier's probabilities can be believed. numpy alone.

N images, K classes, M bins, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of equal width in (0, 1]; what most papers take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Confidence against accuracy. Confidence is the probability of the likeliest class."""

    error: float
    """Expected calibration error: the mean over images of the gap between the mean
    confidence and the accuracy of their bin. 0 is perfect; of few images it is above
    0 for a perfect model, too."""
    images: tuple[int, ...]
    """By bin."""
    confidence: tuple[float, ...]
    """Mean by bin; 0 for a bin without images."""
    accuracy: tuple[float, ...]
    """By bin; 0 for a bin without images."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "error": self.error,
            "bins": [
                [count, confidence, accuracy]
                for count, confidence, accuracy in zip(
                    self.images, self.confidence, self.accuracy, strict=True
                )
            ],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Calibration:
        """The exact inverse of :meth:`to_json`."""
        bins = [(int(n), float(c), float(a)) for n, c, a in document["bins"]]
        return cls(
            error=float(document["error"]),
            images=tuple(n for n, _, _ in bins),
            confidence=tuple(c for _, c, _ in bins),
            accuracy=tuple(a for _, _, a in bins),
        )


def calibration(
    probabilities_NK: NDArray[np.floating], labels_N: NDArray[np.integer], *, bins: int = BINS
) -> Calibration:
    """The calibration of a classifier.

    Args:
        probabilities_NK: Rows sum to 1.
        labels_N: Class indices, at least one.
        bins: M, of equal width; each has its upper end.

    Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural
    Networks", ICML 2017, equation 3.
    """
    confidence_N, right_N, bin_N = binned(probabilities_NK, labels_N, bins=bins)
    images = np.bincount(bin_N, minlength=bins)
    some = np.maximum(images, 1)
    confidence = np.bincount(bin_N, weights=confidence_N, minlength=bins) / some
    accuracy = np.bincount(bin_N, weights=right_N, minlength=bins) / some
    return Calibration(
        error=float((images * np.abs(accuracy - confidence)).sum() / images.sum()),
        images=tuple(int(each) for each in images),
        confidence=tuple(float(each) for each in confidence),
        accuracy=tuple(float(each) for each in accuracy),
    )


def binned(
    probabilities_NK: NDArray[np.floating], labels_N: NDArray[np.integer], *, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Each image's confidence, whether its likeliest class is right, and its bin."""
    confidence_N = probabilities_NK.max(axis=1).astype(np.float64)
    right_N = probabilities_NK.argmax(axis=1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(np.int64) - 1, 0, bins - 1)
    return confidence_N, right_N, bin_N
