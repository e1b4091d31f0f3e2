"""``search predict``: labels for images, from an exported folder alone."""

from __future__ import annotations

import csv as csvlib
import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from search.cli.columns import align
from search.problems import Exit, fail, printable

if TYPE_CHECKING:
    from search.export.predict import Prediction

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
    labels = predictor.info.labels
    if json:
        print(jsonlib.dumps(document(model, labels, predictions), allow_nan=False))
    elif csv:
        write_csv(predictions)
    else:
        print("\n".join(lines(predictions)))
    unreadable = sum(bool(each.error) for each in predictions)
    if unreadable:
        sys.stdout.flush()  # the count comes last where both go to one place
        print(f"{unreadable} of {len(predictions)} images could not be read", file=sys.stderr)
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
        label = "" if each.error else printable(each.label)
        probability = "" if each.error else f"{each.probability:.3f}"
        rows.append([printable(str(each.path)), label, probability])
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
