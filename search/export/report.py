"""What is said about a model on the test set: figures, spreads, comparisons.

Pure and torch-free: probabilities and labels in, frozen values out, and those
to and from JSON. Intervals are 95 % percentile-bootstrap intervals over test
images, stratified by class (see ``bootstrap.py``). They say how far the figure
would move with other test images, not with another training run.

Suffixes: N images, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from search.export.bootstrap import draw
from search.space.spec import METRICS, Metric
from search.training.metrics import metrics

RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a figure lies with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How well one class is found."""

    name: str
    precision: float
    """Share of the images called this class that are; 0 when none is called so."""
    recall: float
    """Share of this class's images that are called so; 0 when it has none."""
    f1: float
    support: int
    """Test images of this class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One model on the test set."""

    __test__: ClassVar[bool] = False

    n: int
    """Test images."""
    metrics: Mapping[str, float]
    """All METRICS by name."""
    intervals: Mapping[str, Interval]
    """By metric name, the same keys."""
    classes: tuple[ClassScore, ...]
    """In the order of the labels."""
    cells: tuple[tuple[int, int, int], ...]
    """(true class, predicted class, images) where there are any, in that order."""

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Images by [true class][predicted class]; K x K numbers."""
        full = [[0] * len(self.classes) for _ in self.classes]
        for true, predicted, count in self.cells:
            full[true][predicted] = count
        return tuple(tuple(row) for row in full)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "n": self.n,
            "metrics": dict(self.metrics),
            "intervals": {name: [each.low, each.high] for name, each in self.intervals.items()},
            "classes": [
                [each.name, each.precision, each.recall, each.f1, each.support]
                for each in self.classes
            ],
            "confusion": [list(cell) for cell in self.cells],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TestResult:
        """The exact inverse of :meth:`to_json`."""
        classes = tuple(
            ClassScore(name=name, precision=precision, recall=recall, f1=f1, support=support)
            for name, precision, recall, f1, support in document["classes"]
        )
        return cls(
            n=document["n"],
            metrics={name: float(value) for name, value in document["metrics"].items()},
            intervals={
                name: Interval(low=low, high=high)
                for name, (low, high) in document["intervals"].items()
            },
            classes=classes,
            cells=tuple(
                (true, predicted, count) for true, predicted, count in document["confusion"]
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One model against another on the same test images."""

    metric: Metric
    difference: float
    """First minus second; for ``loss`` a negative one is good."""
    interval: Interval
    """Of the difference, paired: both models on the same resampled images."""

    @property
    def within_noise(self) -> bool:
        """Whether the interval includes 0."""
        return not (self.interval.low > 0 or self.interval.high < 0)

    @property
    def better(self) -> bool:
        """Whether the first model is better beyond noise; lower loss is better."""
        sign = -1 if self.metric == "loss" else 1
        return not self.within_noise and sign * self.difference > 0

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "difference": self.difference,
            "interval": [self.interval.low, self.interval.high],
            "within_noise": self.within_noise,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Comparison:
        low, high = document["interval"]
        return cls(
            metric=document["metric"],
            difference=document["difference"],
            interval=Interval(low=low, high=high),
        )


def measure(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    classes: Sequence[str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> TestResult:
    """Everything that is reported about one model on one test set.

    Args:
        probabilities_NK: One row an image, summing to 1.
        labels_N: True classes, in ``range(K)``.
        classes: K names.
        seed: Of the bootstrap; the same seed gives the same intervals.
        resamples: Bootstrap test sets, >= 1.

    Raises:
        ValueError: For no images, shapes that do not fit, or a label or
            probability outside its range.
    """
    _check(probabilities_NK, labels_N, len(classes))
    values = metrics(probabilities_NK, labels_N)
    predicted_N = probabilities_NK.argmax(axis=1)
    return TestResult(
        n=len(labels_N),
        metrics={name: float(values[name]) for name in METRICS},
        intervals={
            name: interval(name, probabilities_NK, labels_N, seed=seed, resamples=resamples)
            for name in METRICS
        },
        classes=class_scores(predicted_N, labels_N, classes),
        cells=confused(predicted_N, labels_N),
    )


def interval(
    metric: Metric,
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """The 95 % percentile-bootstrap interval of one metric.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 13.3.
    Deviation: images are drawn within their class, as the split was.
    """
    _check(probabilities_NK, labels_N, probabilities_NK.shape[1])
    rng = np.random.default_rng(seed)
    drawn = draw(metric, [probabilities_NK], labels_N, resamples=resamples, rng=rng)
    return _percentiles(drawn[0])


def compare(
    metric: Metric,
    first_NK: NDArray[np.floating],
    second_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Comparison:
    """First minus second on the same images, with the interval of that difference."""
    for probabilities in (first_NK, second_NK):
        _check(probabilities, labels_N, first_NK.shape[1])
    rng = np.random.default_rng(seed)
    first, second = draw(metric, [first_NK, second_NK], labels_N, resamples=resamples, rng=rng)
    one, other = (metrics(each, labels_N)[metric] for each in (first_NK, second_NK))
    return Comparison(
        metric=metric,
        difference=float(one - other),
        interval=_percentiles(first - second),
    )


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
    return tuple(
        ClassScore(
            name=name,
            precision=int(hit) / max(int(called), 1),
            recall=int(hit) / max(int(count), 1),
            f1=2 * int(hit) / max(int(called) + int(count), 1),
            support=int(count),
        )
        for name, hit, count, called in zip(classes, hits, support, named, strict=True)
    )


def _check(
    probabilities_NK: NDArray[np.floating], labels_N: NDArray[np.integer], classes: int
) -> None:
    if probabilities_NK.shape != (len(labels_N), classes) or not len(labels_N):
        raise ValueError(
            f"need one row of {classes} probabilities for each of at least one label, "
            f"got {probabilities_NK.shape} for {len(labels_N)} labels"
        )
    if labels_N.min() < 0 or labels_N.max() >= classes:
        raise ValueError(f"labels must be in range({classes})")
    if not np.isfinite(probabilities_NK).all():
        raise ValueError("probabilities must be finite")


def _percentiles(drawn_R: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(low=float(low), high=float(high))
