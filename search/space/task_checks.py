"""Settings that the task has no use for: refused, or told. Pure."""

from __future__ import annotations

from search.space.nodes import listed
from search.space.placed import PlacedSpace
from search.space.report import Report
from search.space.settings import Value
from search.space.spec import LOSSES_OF, Task

_IDLE: dict[Task, dict[str, Value]] = {
    "multiclass": {},
    "multilabel": {},
    "regression": {"class_imbalance": "none", "label_smoothing": 0.0},
}
"""Settings that change nothing, and the value that says so."""

_REFUSED: dict[Task, dict[str, tuple[Value, str]]] = {
    "multiclass": {},
    # An image that is repeated for one of its classes comes as often for all of them.
    "multilabel": {"class_imbalance": ("sampler", "weights, or auto")},
    "regression": {},
}
"""A value that the task cannot have, and what to type instead."""


def check_task(task: Task, space: PlacedSpace, report: Report) -> None:
    """A loss is one of the task's, as is every other value; what changes nothing is told."""
    losses = ("auto", *LOSSES_OF[task])
    for param in space.params:
        for branch in param.branches:
            for value, place in branch.listed:
                if param.name == "loss" and value not in losses:
                    report.error(
                        place,
                        f"loss: {value} is not for data.task {task}",
                        f"one of {listed(losses)}",
                    )
                wrong, fix = _REFUSED[task].get(param.name, (None, ""))
                if value == wrong:
                    report.error(place, f"{param.name}: {value} is not for data.task {task}", fix)
            idle = _IDLE[task].get(param.name)
            values = {value for value, _ in branch.listed}
            if idle is not None and values != {idle}:
                report.warn(
                    branch.place,
                    f"{param.name} changes nothing in the task {task}",
                    f"remove {param.name}",
                )
