"""Measures on the test set as lines of text: intervals, classes, confusions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from search.cli.columns import align, fits, indent
from search.problems import printable
from search.space.figure import metric

if TYPE_CHECKING:
    from search.export.report import Comparison, TestResult

SHOWN_CLASSES = 30
"""More classes than this are shown by their worst recalls."""
MATRIX_CLASSES = 10
"""More classes than this are shown by their commonest confusions."""
LONGEST_NAME = 24
_CALIBRATION = "calibration_error"


def with_interval(test: TestResult, name: str) -> str:
    """``0.812 [0.774, 0.847]``; a dash where the metric is undefined, no interval
    where resampling gives one of no width."""
    value, bounds = test.metrics.get(name), test.intervals.get(name)
    if value is None or value != value:
        return "-"
    if bounds is None or bounds.low != bounds.low or bounds.low == bounds.high:
        return metric(value, name)
    return f"{metric(value, name)} [{metric(bounds.low, name)}, {metric(bounds.high, name)}]"


def images(test: TestResult) -> str:
    """``n 400``; ``n 400 (20 independent)`` where images belong together."""
    return f"n {test.n}" + (f" ({test.units} independent)" if test.units else "")


def calibration_error(test: TestResult, *, bounds: bool) -> str:
    """The same of the calibration error; a dash in results of earlier versions."""
    if test.calibration is None or test.calibration_interval is None:
        return "-"
    low, high = test.calibration_interval.low, test.calibration_interval.high
    value, *spread = (metric(each, _CALIBRATION) for each in (test.calibration.error, low, high))
    return f"{value} [{', '.join(spread)}]" if bounds and low < high else value


def has_intervals(lines: Iterable[str]) -> bool:
    """Whether any interval is shown in lines of measures or differences."""
    return any("[" in line for line in lines)


def tells(comparison: Comparison) -> bool:
    """Whether the interval says anything: resampling very few images, or images
    that all came out alike, gives an interval of no width."""
    return comparison.interval.low < comparison.interval.high


def difference(comparison: Comparison) -> tuple[str, str]:
    """The difference with its interval, and what to make of it."""
    if not tells(comparison):
        verdict = "the same" if comparison.difference == 0 else "too few images for an interval"
        return signed(comparison.difference, comparison.metric), verdict
    interval = comparison.interval
    bounds = ", ".join(signed(each, comparison.metric) for each in (interval.low, interval.high))
    if comparison.within_noise:
        verdict = "within noise"
    else:
        verdict = "better" if comparison.better else "worse"
    return f"{signed(comparison.difference, comparison.metric)} [{bounds}]", verdict


def signed(value: float, of: str) -> str:
    """A metric's difference, with its sign."""
    text = metric(value, of)
    return text if text.startswith("-") else f"+{text}"


def few_images(verdict: str, n: int) -> str:
    """A verdict of an interval that is too narrow, as that of a class with few of the
    ``n`` test images is: true of these images, and no more than that."""
    if verdict not in ("better", "worse"):
        return verdict
    return f"{verdict} on these {n} test images, too few to be sure"


def class_lines(test: TestResult) -> list[str]:
    """Precision, recall and F1 of each class; of the worst where there are many."""
    scores = list(test.classes)
    left_out = len(scores) - SHOWN_CLASSES
    if left_out > 0:
        scores = sorted(scores, key=lambda each: each.recall)[:SHOWN_CLASSES]
    rows = [["class", "precision", "recall", "F1", "images"]]
    rows += [
        [
            name_of(each.name),
            *(metric(value, "recall") for value in (each.precision, each.recall, each.f1)),
            f"{each.support}",
        ]
        for each in scores
    ]
    lines = align(rows, right=(1, 2, 3, 4))
    if left_out > 0:
        lines.append(f"and {left_out} more whose recall is no lower (all are in model.json)")
    return lines


def confusion_lines(test: TestResult, *, width: int | None) -> list[str]:
    """The confusion matrix; the commonest confusions of many classes, or where
    the matrix does not fit ``width`` cells (None is without a limit)."""
    names = [name_of(each.name) for each in test.classes]
    if len(names) <= MATRIX_CLASSES:
        numbered = [f"{number} {name}" for number, name in enumerate(names, 1)]
        heads = [f"{number}" for number in range(1, len(names) + 1)]
        for lines in (_matrix(test, names, names), _matrix(test, numbered, heads)):
            if fits(lines, width):
                return lines
    wrong = sorted(
        (
            (count, true, predicted)
            for true, row in enumerate(test.confusion)
            for predicted, count in enumerate(row)
            if count and true != predicted
        ),
        key=lambda cell: (-cell[0], cell[1], cell[2]),
    )
    rows = [["images", "true", "predicted as"]]
    rows += [
        [f"{count}", names[true], names[predicted]]
        for count, true, predicted in wrong[:MATRIX_CLASSES]
    ]
    return ["commonest confusions", *indent(align(rows, right=(0,)))]


def _matrix(test: TestResult, names: list[str], heads: list[str]) -> list[str]:
    rows = [["true \\ predicted", *heads]]
    rows += [
        [name, *(f"{cell}" for cell in row)]
        for name, row in zip(names, test.confusion, strict=True)
    ]
    return align(rows, right=range(1, len(names) + 1))


def name_of(name: str) -> str:
    """A class name that cannot move the cursor, cut where it is very long."""
    text = printable(name).replace("\t", "\\t")
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
