"""``search predict``: labels for images, from an exported folder alone."""

from __future__ import annotations

import csv as csvlib
import json as jsonlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.cli.columns import align
from search.problems import Exit, fail, printable

if TYPE_CHECKING:
    from search.export.predict import Prediction


def predict(model: Path, images: Sequence[Path], *, json: bool, csv: bool) -> Exit:
    """Print a line an image, one JSON document, or CSV.

    Returns:
        DATA where an image could not be read, else DONE.

    Raises:
        SearchError: If the folder is no export or a path does not exist.
    """
    if json and csv:
        raise fail("--json and --csv cannot be had at once", fix="one of them")
    from search.export.predict import Predictor, exit_status

    predictor = Predictor.open(model)
    predictions = predictor.predict(images, progress=_progress if sys.stderr.isatty() else None)
    labels = predictor.info.labels
    if json:
        print(jsonlib.dumps(document(model, labels, predictions), allow_nan=False))
    elif csv:
        write_csv(predictions)
    else:
        print("\n".join(lines(predictions)))
    return exit_status(predictions)


def document(
    model: Path, labels: Sequence[str], predictions: Sequence[Prediction]
) -> dict[str, object]:
    """The document of ``--json``: probabilities in the order of ``labels``."""
    return {
        "model": str(model),
        "labels": list(labels),
        "predictions": [
            {
                "path": str(each.path),
                "label": each.label or None,
                "probability": None if each.error else each.probability,
                "probabilities": list(each.probabilities),
                "error": each.error or None,
            }
            for each in predictions
        ],
    }


def write_csv(predictions: Sequence[Prediction]) -> None:
    """CSV on stdout; what a spreadsheet would run as a formula is escaped."""
    from search.export.escape import csv as escaped

    writer = csvlib.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "label", "probability", "error"])
    for each in predictions:
        writer.writerow(
            [
                escaped(str(each.path)),
                escaped(each.label),
                "" if each.error else f"{each.probability:.6f}",
                escaped(each.error),
            ]
        )


def lines(predictions: Sequence[Prediction]) -> list[str]:
    """A line an image: path, label, probability, or why it could not be read."""
    rows = [["image", "label", "probability"]]
    for each in predictions:
        path = printable(str(each.path))
        if each.error:
            rows.append([path, f"unreadable: {printable(each.error)}"])
        else:
            rows.append([path, printable(each.label), f"{each.probability:.3f}"])
    return align(rows)


def _progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done}/{total} images", end=end, file=sys.stderr, flush=True)
