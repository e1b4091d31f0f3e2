"""A part of a study's images through an exported model's own predict.

N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from search.data.images import ImageTable, Part
from search.export.predict import Predictor
from search.problems import Exit, Problem, SearchError


def evaluate(
    predictor: Predictor,
    table: ImageTable,
    part: Part,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities [N, K] and labels [N] of one part, in the table's order.

    Args:
        predictor: With the table's classes as labels.
        table: Of the study.
        part: ``val`` or ``test``.
        progress: Called with how many images are decoded, of how many.

    Raises:
        SearchError: Exit.DATA, naming every image that can no longer be read.
        ValueError: If the model has other labels than the table.
    """
    if predictor.info.labels != table.classes:
        raise ValueError(f"labels {predictor.info.labels} are not classes {table.classes}")
    rows = table.part(part)
    files = [table.absolute(row) for row in rows]
    probabilities_NK, errors = predictor.probabilities(files, progress=progress)
    if errors:
        raise SearchError(
            [
                Problem(
                    fact=f"{files[row]} was readable before the first trial, and now {reason}",
                    fix="put the file back as it was",
                )
                for row, reason in sorted(errors.items())
            ],
            Exit.DATA,
        )
    return probabilities_NK, np.array([row.label for row in rows], dtype=np.int64)
