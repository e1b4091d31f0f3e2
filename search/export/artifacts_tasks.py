"""What is shown of a trial whose images are in several classes, or have a number.

Documents and pictures from what its worker left. Pure but for the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from search.export.charts_tasks import Bars, bars, scatter
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
        "name": name,
        "precision": hits / max(hits + wrongly, 1),
        "recall": hits / max(hits + missed, 1),
        "f1": 2 * hits / max(2 * hits + wrongly + missed, 1),
        "average_precision": found["average_precision"],
        "images": hits + missed,
        "threshold": found["threshold"],
        "counts": found["counts"],
    }


def label_error(classes: Sequence[str], error: Mapping[str, Any]) -> Said:
    """An image about which some class was wrong."""
    true, called = ([classes[k] for k in error[which]] for which in ("true", "called"))
    missed = [name for name in true if name not in called]
    wrongly = [name for name in called if name not in true]
    words = [
        f"{error['classes_true']} classes, {error['classes_called']} called",
        f"missed {', '.join(missed)}" if missed else "none missed",
        f"not {', '.join(wrongly)}" if wrongly else "none called wrongly",
        f"loss {metric(error['loss'], 'loss')}",
    ]
    return Said(file=error["file"], document={**error, "true": true, "called": called}, words=words)


def value_figures(unit: str, validation: Mapping[str, Any]) -> tuple[dict[str, Any], Image.Image]:
    """Predicted beside true values, and how they differ, in the unit."""
    names = ("epoch", "images", "residuals", "pairs")
    document = {"part": "validation", "unit": unit, **{name: validation[name] for name in names}}
    return document, scatter(validation["pairs"], unit)


def value_error(unit: str, error: Mapping[str, Any]) -> Said:
    """An image whose value was missed."""
    after = f" {unit}" if unit else ""
    values = {name: f"{metric(error[name], 'mae')}{after}" for name in ("true", "predicted")}
    words = [
        f"is {values['true']}",
        f"predicted {values['predicted']}",
        f"off by {metric(error['error'], 'mae')}{after}",
    ]
    return Said(file=error["file"], document={**error, "unit": unit}, words=words)
