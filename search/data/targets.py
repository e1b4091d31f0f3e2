"""What is learnt, as arrays: the targets of some rows, and the scale of numbers.

N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.data.images import ImageRow, ImageTable

Targets: TypeAlias = NDArray[Any]
"""multiclass: [N] int64 class indices; multilabel: [N, K] float32, 1 where an image is
in a class and else 0; regression: [N] float64 values in their unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What numbers are standardised by: a model learns (value - mean) / std."""

    mean: float = 0.0
    std: float = 1.0
    """> 0."""


def targets_of(table: ImageTable, rows: Sequence[ImageRow]) -> Targets:
    """The targets of some of a table's rows, in their order."""
    if table.task == "regression":
        return np.array([row.label for row in rows], dtype=np.float64)
    if table.task == "multiclass":
        return np.array([row.label for row in rows], dtype=np.int64)
    found_NK = np.zeros((len(rows), len(table.classes)), dtype=np.float32)
    for number, row in enumerate(rows):
        if isinstance(row.label, tuple):
            found_NK[number, list(row.label)] = 1.0
    return found_NK


def scale_of(table: ImageTable) -> Scale:
    """Mean and standard deviation of the train part's values; 0 and 1 for classes."""
    if table.task != "regression":
        return Scale()
    values_N = targets_of(table, table.part("train"))
    std = float(values_N.std())
    return Scale(mean=float(values_N.mean()), std=std if std > 0 else 1.0)
