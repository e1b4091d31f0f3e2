"""A part of a study's images through an exported model's own predict.

N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.images import ImageTable, Part
from search.data.targets import Targets, targets_of
from search.export.model_folder import file_sha256
from search.export.predict import Predictor
from search.problems import Exit, fail


def evaluate(
    predictor: Predictor,
    table: ImageTable,
    part: Part,
    *,
    progress: Callable[[int, int], None] | None = None,
    answered: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.floating], Targets]:
    """What the model says [N, K], and the targets, of one part, in the table's order.

    Args:
        predictor: With the table's classes as labels.
        table: Of the study.
        part: ``val`` or ``test``.
        progress: Called with how many images are decoded, of how many.
        answered: The same of those that the model has said something of.

    Raises:
        SearchError: Exit.DATA, naming an image that can no longer be read, or
            has another content than the table says.
        ValueError: If the model has other labels than the table.
    """
    if predictor.info.labels != table.classes:
        raise ValueError(f"labels {predictor.info.labels} are not classes {table.classes}")
    rows = table.part(part)
    files = [table.absolute(row) for row in rows]
    for row, file in zip(rows, files, strict=True):
        changed = _changed(file, row.sha256)
        if changed:
            raise fail(
                f"{file} {changed}",
                fix="put the file back as it was before the first trial",
                status=Exit.DATA,
            )
    said_NK, errors = predictor.said(files, progress=progress, answered=answered)
    if errors:
        first, reason = min(errors.items())
        raise RuntimeError(f"{files[first]} was decoded before the first trial, and now {reason}")
    return said_NK, targets_of(table, rows)


def _changed(file: Path, sha256: str) -> str:
    """What is the matter with a file that was checked; empty when nothing is."""
    try:
        if file_sha256(file) == sha256:
            return ""
        return "has another content than the one that was checked"
    except OSError as error:
        return f"can no longer be read: {(error.strerror or str(error)).lower()}"
