"""What is said about a model on the test set: figures, spreads, comparisons.

Frozen values, to and from JSON. ``measuring.py`` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from search.space.spec import Metric, maximized
from search.training.calibration import Calibration


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
    intervals: tuple[Interval, Interval, Interval] | None = None
    """Of precision, recall and F1; None in results of earlier versions."""


def class_score(name: str, hits: int, called: int, support: int) -> ClassScore:
    """A class's figures from counts of images.

    Args:
        name: Of the class.
        hits: In it and called so.
        called: Called so.
        support: In it.

    Returns:
        E.g. precision 1/2, recall 1/3 and F1 2/5 of ``class_score("a", 1, 2, 3)``.
    """
    return ClassScore(
        name=name,
        precision=hits / max(called, 1),
        recall=hits / max(support, 1),
        f1=2 * hits / max(called + support, 1),
        support=support,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One model on the test set."""

    __test__: ClassVar[bool] = False

    n: int
    """Test images."""
    metrics: Mapping[str, float]
    """All of the task's by name."""
    intervals: Mapping[str, Interval]
    """By metric name, the same keys."""
    classes: tuple[ClassScore, ...]
    """In the order of the labels; empty for a regression."""
    cells: tuple[tuple[int, int, int], ...]
    """(true class, predicted class, images) where there are any, in that order; empty
    where an image is not in exactly one class."""
    calibration: Calibration | None = None
    """How far its probabilities can be believed; None in results of earlier versions."""
    calibration_interval: Interval | None = None
    """Of the calibration error; see ``measuring.calibration_interval``."""
    units: int = 0
    """Groups of images that belong together, which the intervals draw as one; 0 where every
    image is by itself."""
    fewest_units: int = 0
    """Of the class that is in the fewest of them."""

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
                [
                    each.name,
                    each.precision,
                    each.recall,
                    each.f1,
                    each.support,
                    *([part.low, part.high] for part in each.intervals or ()),
                ]
                for each in self.classes
            ],
            "confusion": [list(cell) for cell in self.cells],
            **_calibrated(self.calibration, self.calibration_interval),
            **({"units": self.units, "fewest_units": self.fewest_units} if self.units else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TestResult:
        """The exact inverse of :meth:`to_json`."""
        classes = tuple(
            ClassScore(
                name=name,
                precision=precision,
                recall=recall,
                f1=f1,
                support=support,
                intervals=_three(intervals),
            )
            for name, precision, recall, f1, support, *intervals in document["classes"]
        )
        calibrated = document.get("calibration")
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
            calibration=None if calibrated is None else Calibration.from_json(calibrated),
            calibration_interval=None if calibrated is None else _pair(calibrated["interval"]),
            units=document.get("units", 0),
            fewest_units=document.get("fewest_units", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One model against another on the same test images."""

    metric: Metric
    difference: float
    """First minus second; of an error a negative one is good."""
    interval: Interval
    """Of the difference, paired: both models on the same resampled images."""

    @property
    def within_noise(self) -> bool:
        """Whether the interval includes 0."""
        return not (self.interval.low > 0 or self.interval.high < 0)

    @property
    def better(self) -> bool:
        """Whether the first model is better beyond noise; lower errors are better."""
        sign = 1 if maximized(self.metric) else -1
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


def _pair(values: Sequence[float]) -> Interval:
    low, high = values
    return Interval(low=float(low), high=float(high))


def _three(
    values: Sequence[Sequence[float]],
) -> tuple[Interval, Interval, Interval] | None:
    if not values:
        return None
    precision, recall, f1 = map(_pair, values)
    return precision, recall, f1


def _calibrated(found: Calibration | None, spread: Interval | None) -> dict[str, Any]:
    if found is None or spread is None:
        return {}
    return {"calibration": {**found.to_json(), "interval": [spread.low, spread.high]}}
