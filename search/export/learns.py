"""What an exported model's outputs mean: its task, and what belongs to it. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.data.targets import Scale
from search.space.spec import TASKS, Task

_DECIMALS = 12
"""Beyond these, or for a number of _WHOLE on, an exponent is shorter."""
_WHOLE = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Learns:
    """The task of a model."""

    task: Task = "multiclass"
    thresholds: tuple[float, ...] = ()
    """Of several classes an image: it is in a class from this probability on, in the
    order of the labels; tuned on validation."""
    scale: Scale = field(default_factory=Scale)
    """Of numbers: an output times std plus mean is the value in its unit."""
    unit: str = ""
    """Of numbers; empty where none was named."""

    def written(self, value: float) -> str:
        """A value of a regression, as :func:`written` writes it beside those in train."""
        return written(value, self.scale.std)

    def to_json(self) -> dict[str, Any]:
        """As JSON values: what the task has."""
        if self.task == "multilabel":
            return {"task": self.task, "thresholds": list(self.thresholds)}
        if self.task == "regression":
            scale = {"mean": self.scale.mean, "std": self.scale.std}
            return {"task": self.task, **scale, "unit": self.unit}
        return {"task": self.task}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], labels: Sequence[str]) -> Learns:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, TypeError, KeyError: If it is not what a model of ``labels`` says.
        """
        if document["task"] not in TASKS:
            raise ValueError(f"no task {str(document['task'])[:40]!r}")
        task = TASKS[TASKS.index(document["task"])]
        if task == "multilabel":
            thresholds = tuple(finite(each) for each in document["thresholds"])
            if len(thresholds) != len(labels):
                raise ValueError(f"{len(thresholds)} thresholds for {len(labels)} labels")
            return cls(task=task, thresholds=thresholds)
        if task == "multiclass":
            return cls()
        scale = Scale(mean=finite(document["mean"]), std=finite(document["std"]))
        if scale.std <= 0 or not isinstance(document["unit"], str):
            raise ValueError("std must be above 0 and unit text")
        return cls(task=task, scale=scale, unit=document["unit"])


def written(value: float, std: float) -> str:
    """A value of a regression, with the decimals that tell a thousandth of ``std``.

    Args:
        value: In its unit.
        std: How far values lie apart, above 0.

    Returns:
        However far from 0 the value is, e.g. ``1700000002.125`` where std is 2.
    """
    last = 3 - math.floor(math.log10(std))
    if last > _DECIMALS or abs(value) >= _WHOLE:
        first = math.floor(math.log10(abs(value))) if value else -last
        # float64 has 17 digits
        return f"{value:.{min(17, max(4, first + last + 1))}g}"
    decimals = max(0, last)
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0: never -0.000


def finite(value: object) -> float:
    """A finite number out of a JSON file.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a number is expected where it says " + repr(value)[:40])
    return float(value)
