"""What is shown of a trial whose images are in several classes, or have a number.

Documents and pictures from what its worker left. Pure but for the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from search.export.charts_tasks import Bars, bars, scatter
from search.export.learns import written
from search.export.report import ClassScore, class_score
from search.space.figure import metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a trial said of one image, and was wrong."""

    file: str
    document: Mapping[str, Any]
    """As JSON values, classes by their names."""
    words: Sequence[str]
    """The same, a short line each."""


def label_figures(
    classes: Sequence[str], validation: Mapping[str, Any]
) -> tuple[dict[str, Any], Image.Image]:
    """Each class's figures at its tuned threshold, and its own matrix of 2 x 2."""
    found = [_scores(name, each) for name, each in zip(classes, validation["classes"], strict=True)]
    document = {
        "part": "validation",
        "epoch": validation["epoch"],
        "images": validation["images"],
        "counts_are": "images by [in the class: no, yes][called so: no, yes]",
        "classes": found,
    }
    drawn = [
        Bars(
            name=each["name"],
            f1=each["f1"],
            average_precision=each["average_precision"],
            counts=each["counts"],
        )
        for each in found
    ]
    return document, bars(drawn)


def _scores(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    (_, wrongly), (missed, hits) = found["counts"]
    return {
        **scored(class_score(name, hits, hits + wrongly, hits + missed)),
        **{each: found[each] for each in ("average_precision", "threshold", "counts")},
    }


def scored(found: ClassScore) -> dict[str, Any]:
    """A class's figures as JSON values."""
    return {
        "name": found.name,
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1,
        "images": found.support,
    }


def label_error(classes: Sequence[str], error: Mapping[str, Any]) -> Said:
    """An image about which some class was wrong."""
    true, called = ([classes[k] for k in error[which]] for which in ("true", "called"))
    words = [f"{error['classes_true']} classes, {error['classes_called']} called"]
    if (len(true), len(called)) == (error["classes_true"], error["classes_called"]):
        missed = [name for name in true if name not in called]
        wrongly = [name for name in called if name not in true]
        words += [
            f"missed {', '.join(missed)}" if missed else "none missed",
            f"not {', '.join(wrongly)}" if wrongly else "none called wrongly",
        ]  # of more classes than are named, nobody knows which were missed
    words.append(f"loss {metric(error['loss'], 'loss')}")
    return Said(file=error["file"], document={**error, "true": true, "called": called}, words=words)


def value_figures(unit: str, validation: Mapping[str, Any]) -> tuple[dict[str, Any], Image.Image]:
    """Predicted beside true values, and how they differ, in the unit."""
    names = ("epoch", "images", "residuals", "pairs")
    document = {"part": "validation", "unit": unit, **{name: validation[name] for name in names}}
    return document, scatter(validation["pairs"], unit)


def value_error(unit: str, std: float, error: Mapping[str, Any]) -> Said:
    """An image whose value was missed.

    Args:
        unit: Of the values; empty where none was named.
        std: Of the values in train: how exactly they are said.
        error: As the worker left it.
    """
    after = f" {unit}" if unit else ""
    said = {name: f"{written(error[name], std)}{after}" for name in ("true", "predicted", "error")}
    words = [f"is {said['true']}", f"predicted {said['predicted']}", f"off by {said['error']}"]
    return Said(file=error["file"], document={**error, "unit": unit}, words=words)
