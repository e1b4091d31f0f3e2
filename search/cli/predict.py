"""``search predict``: labels for images, or values, from an exported folder alone."""

from __future__ import annotations

import csv as csvlib
import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from search.cli.columns import align
from search.export.learns import Learns
from search.problems import Exit, fail, printable
from search.space.spec import Task

if TYPE_CHECKING:
    from search.export.predict import Prediction

_MULTICLASS = Learns()
EVERY = 5.0
"""Seconds between two lines of progress where stderr is no terminal."""


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
    with progress_on(sys.stderr, now=time.monotonic) as progress:
        predictions = predictor.predict(images, progress=progress)
    info = predictor.info
    if json:
        print(
            jsonlib.dumps(document(model, info.labels, predictions, info.learns), allow_nan=False)
        )
    elif csv:
        write_csv(predictions, info.learns)
    else:
        print("\n".join(lines(predictions, info.learns)))
    unreadable = sum(bool(each.error) for each in predictions)
    if unreadable:
        sys.stdout.flush()  # the count comes last where both go to one place
        print(f"{unreadable} of {len(predictions)} images could not be read", file=sys.stderr)
    return exit_status(predictions)


def document(
    model: Path,
    labels: Sequence[str],
    predictions: Sequence[Prediction],
    learns: Learns = _MULTICLASS,
) -> dict[str, object]:
    """The document of ``--json``: what is said of each image, by the model's task."""
    said = {
        "multiclass": _class_document,
        "multilabel": _classes_document,
        "regression": _value_document,
    }[learns.task]
    about: dict[str, object] = {"model": str(model), "labels": list(labels)}
    if learns.task != "multiclass":
        about |= learns.to_json()
    return {
        **about,
        "predictions": [
            {"path": str(each.path), **said(each), "error": each.error or None}
            for each in predictions
        ],
    }


def _class_document(each: Prediction) -> dict[str, object]:
    """Probabilities in the order of ``labels``."""
    return {
        "label": each.label or None,
        "probability": None if each.error else each.probability,
        "probabilities": list(each.probabilities),
    }


def _classes_document(each: Prediction) -> dict[str, object]:
    return {
        "labels": None if each.error else list(each.labels),
        "probabilities": list(each.probabilities),
    }


def _value_document(each: Prediction) -> dict[str, object]:
    return {"value": each.value}


HEADS: Mapping[Task, tuple[str, ...]] = {
    "multiclass": ("label", "probability"),
    "multilabel": ("labels",),
    "regression": ("value",),
}
"""Of the columns between an image's path and what went wrong."""


def write_csv(predictions: Sequence[Prediction], learns: Learns = _MULTICLASS) -> None:
    """CSV on stdout; what a spreadsheet would run as a formula is escaped."""
    from search.export.escape import csv as escaped

    writer = csvlib.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", *HEADS[learns.task], "error"])
    for each in predictions:
        found = _cells(learns, each, digits=6)
        if learns.task != "regression":  # a negative number is no formula
            found[0] = escaped(found[0])
        writer.writerow([escaped(str(each.path)), *found, escaped(each.error)])


def _cells(learns: Learns, each: Prediction, *, digits: int) -> list[str]:
    """What is said of an image, in the columns of its task; empty where there is an error.

    Several classes are written as a manifest has them: with ``|`` between.
    """
    if each.error:
        return [""] * len(HEADS[learns.task])
    if learns.task == "regression":
        return ["" if each.value is None else learns.written(each.value)]
    if learns.task == "multilabel":
        return ["|".join(each.labels)]
    return [each.label, f"{each.probability:.{digits}f}"]


def lines(predictions: Sequence[Prediction], learns: Learns = _MULTICLASS) -> list[str]:
    """A line an image: path, what is said of it, or why it could not be read."""
    task, unit = learns.task, learns.unit
    heads = [f"value ({printable(unit)})"] if unit else list(HEADS[task])
    rows = [["image", *heads]]
    for each in predictions:
        found = [printable(cell) for cell in _cells(learns, each, digits=3)]
        if task == "multilabel" and not each.error and not each.labels:
            found = ["-"]
        rows.append([printable(str(each.path)), *found])
    # A reason is as long as it is, and widens no column.
    paths = align([[row[0], "."] for row in rows])
    return [
        f"{path[:-1]}unreadable: {printable(each.error)}" if each and each.error else line
        for each, path, line in zip([None, *predictions], paths, align(rows), strict=True)
    ]


@contextmanager
def progress_on(out: TextIO, *, now: Callable[[], float]) -> Iterator[Callable[[int, int], None]]:
    """Tells how many images are done, of how many: a bar on a terminal, which goes
    when all are; elsewhere a line every EVERY seconds, and none for a short job."""
    if not out.isatty():
        last = now()

        def tell(done: int, total: int) -> None:
            nonlocal last
            if now() - last >= EVERY:
                last = now()
                print(f"{done}/{total} images", file=out, flush=True)

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(file=out), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
