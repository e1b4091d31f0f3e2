"""The files that show what a trial did: figures as JSON, and as pictures.

Made once for each trial, before it is settled, from what its worker left beside its
checkpoints, and kept in the study's folder when those are deleted. Making them again
gives the same files. A trial that never finished an epoch has none.

K classes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from search.data.decode import BadImage, checked_square
from search.data.images import ImageRow, ImageTable
from search.data.targets import scale_of
from search.export import charts
from search.export.artifacts_tasks import (
    Said,
    label_error,
    label_figures,
    scored,
    value_error,
    value_figures,
)
from search.export.charts import Line, Tile, png
from search.export.report import class_score
from search.space.spec import Metric
from search.study.artifacts import NAMES

_REMEMBERED = 512
"""Small images that are kept: trials of a study are often wrong about the same ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The files of a trial, and what could not be made."""

    names: tuple[str, ...]
    fault: str = ""


class Artifacts:
    """Makes the files of one trial after another.

    Args:
        table: Of the study.
        objective: Its metric.
        maximize: Its direction.
    """

    def __init__(self, table: ImageTable, objective: Metric, *, maximize: bool) -> None:
        self._table = table
        self._rows: Mapping[str, ImageRow] = {row.path: row for row in table.part("val")}
        self._std = scale_of(table).std
        self._objective = objective
        self._maximize = maximize
        self._small: OrderedDict[str, Image.Image | None] = OrderedDict()

    def make(self, source: Path, destination: Path) -> Made:
        """Write the files of a trial.

        Args:
            source: The folder that its worker wrote to.
            destination: Where they go; made if there is anything.

        Returns:
            The names of what is there now; files of an earlier try count. Whatever goes
            wrong is told and no more: a picture is not worth a study.
        """
        fault = ""
        try:
            for name, content in self._files(source).items():
                destination.mkdir(parents=True, exist_ok=True)
                part = destination / f".{name}.part"
                try:
                    part.write_bytes(content)
                    part.replace(destination / name)
                finally:
                    part.unlink(missing_ok=True)  # half of one, on a full disk
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        with suppress(OSError):
            names = {path.name for path in destination.iterdir()}
            return Made(names=tuple(each for each in NAMES if each in names), fault=fault)
        return Made(names=(), fault=fault)

    def _files(self, source: Path) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        curves, validation = (_read(source / name) for name in ("curves.json", "validation.json"))
        if curves is not None and curves["epochs"]:
            files |= self._curves(curves["epochs"])
        if validation is not None:
            files |= self._figures(validation) | self._errors(validation)
        return files

    def _curves(self, epochs: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
        objective = [epoch["metrics"][self._objective] for epoch in epochs]
        known = [value for value in objective if value is not None]
        wanted = (max if self._maximize else min)(known) if known else None
        best = None if wanted is None else objective.index(wanted) + 1
        losses = [
            Line(name="training loss", values=[epoch["train_loss"] for epoch in epochs]),
            Line(name="validation loss", values=[epoch["metrics"].get("loss") for epoch in epochs]),
        ]
        panels = [losses]
        if self._objective != "loss":
            panels.append([Line(name=f"validation {self._objective}", values=objective)])
        document = {"objective": self._objective, "best_epoch": best, "epochs": list(epochs)}
        return {
            "curves.json": _text(document),
            "curves.png": png(charts.curves(panels, best)),
        }

    def _figures(self, validation: Mapping[str, Any]) -> dict[str, bytes]:
        if self._table.task == "multilabel":
            document, picture = label_figures(self._table.classes, validation)
            return {"confusion_matrix.json": _text(document), "confusion_matrix.png": png(picture)}
        if self._table.task == "regression":
            document, picture = value_figures(self._table.unit, validation)
            return {"predictions.json": _text(document), "predictions.png": png(picture)}
        return self._matrix(validation)

    def _matrix(self, validation: Mapping[str, Any]) -> dict[str, bytes]:
        classes, cells = self._table.classes, validation["cells"]
        document = {
            "part": "validation",
            "epoch": validation["epoch"],
            "images": validation["images"],
            "classes": _scores(classes, cells),
            "cells": cells,
            "calibration": validation["calibration"],
        }
        return {
            "confusion_matrix.json": _text(document),
            "confusion_matrix.png": png(charts.matrix(classes, cells)),
        }

    def _errors(self, validation: Mapping[str, Any]) -> dict[str, bytes]:
        said = [self._error(error) for error in validation["worst"]]
        shown = [Tile(image=self._image(each.file), words=each.words) for each in said]
        errors = [dict(each.document) for each in said]
        document = {"part": "validation", "epoch": validation["epoch"], "errors": errors}
        return {"worst_errors.json": _text(document), "worst_errors.png": png(charts.tiles(shown))}

    def _error(self, error: Mapping[str, Any]) -> Said:
        classes = self._table.classes
        if self._table.task == "multilabel":
            return label_error(classes, error)
        if self._table.task == "regression":
            return value_error(self._table.unit, self._std, error)
        true, called = classes[error["true"]], classes[error["called"]]
        sure = f"{error['probability_of_called']:.3f}, is {error['probability_of_true']:.3f}"
        return Said(
            file=error["file"],
            document={**error, "true": true, "called": called},
            words=(f"is {true}", f"called {called}", sure),
        )

    def _image(self, file: str) -> Image.Image | None:
        if file not in self._small:
            self._small[file] = self._decoded(file)
            while len(self._small) > _REMEMBERED:
                self._small.popitem(last=False)
        self._small.move_to_end(file)
        return self._small[file]

    def _decoded(self, file: str) -> Image.Image | None:
        row = self._rows.get(file)
        if row is None:
            return None
        with suppress(BadImage):  # gone, changed, or on another machine
            place = self._table.absolute(row)
            side = checked_square(place, row.sha256, side=charts.TILE, interpolation="bilinear")
            return Image.fromarray(side)
        return None


def _scores(classes: Sequence[str], cells: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    support, named, hits = ([0] * len(classes) for _ in range(3))
    for true, called, count in cells:
        support[true] += count
        named[called] += count
        hits[true] += count if true == called else 0
    rows = zip(classes, hits, named, support, strict=True)
    return [scored(class_score(*row)) for row in rows]


def _read(path: Path) -> dict[str, Any] | None:
    """What a worker wrote; None where it wrote nothing."""
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return document


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
