"""When every trial of a space is trained as deep as it will be, and ``epochs`` with it.

A trial may begin with its head alone. Compared with others before it is at its final
depth, it would be judged on that; so ``epochs.min`` is by default the first epoch
at which all are. Pure; what decides the depth is told by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TypeAlias

from search.problems import Place
from search.space.domains import Space
from search.space.nodes import Entries, Node
from search.space.placed import PlacedSpace
from search.space.points import values
from search.space.reach import joint
from search.space.report import Report
from search.space.scalars import is_null, plain
from search.space.sections import read_epochs
from search.space.settings import Setting, Value
from search.space.spec import Epochs

FullDepth: TypeAlias = Callable[[Mapping[str, Value]], int]
"""The first epoch at the final depth of a trial with these :data:`DECIDING` settings."""
DECIDING = ("finetune", "unfreeze_depth", "head_epochs", "unfreeze_every")
"""The settings that it depends on."""
_MOST = 2_000
"""Combinations that are looked at one by one."""
_OWN = {"gradual": "unfreeze_every", "head_then_partial": "head_epochs"}
"""What says how long a strategy takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The trial of a space that comes last to its final depth."""

    epoch: int
    """The first at that depth, 1-based."""
    values: Mapping[str, Value]
    """Its :data:`DECIDING` settings."""

    def __str__(self) -> str:
        strategy = str(self.values.get("finetune"))
        names = ("unfreeze_depth", *([_OWN[strategy]] if strategy in _OWN else []))
        told = " and ".join(f"{name}: {plain(self.values[name])}" for name in names)
        return f"finetune: {strategy} with {told}"


def latest(space: Space, settings: Mapping[str, Setting], first_at: FullDepth) -> Latest:
    """The trial that comes last; of a space with too many combinations, one that is
    put together from the largest values of each setting, and may be later than any."""
    defaults = {name: settings[name].default for name in DECIDING if name in settings}

    def telling(name: str, value: Value) -> Hashable:
        return value if name in DECIDING else None

    count = prod(len(set(_all(space, name))) for name in defaults if name in space)
    found = joint(space, DECIDING, telling) if count <= _MOST else None
    if found is not None and found.whole:
        points = [{**defaults, **_of(point, defaults)} for point in found.points]
    else:
        listed = [_largest(space, name, default) for name, default in defaults.items()]
        points = [dict(zip(defaults, each, strict=True)) for each in product(*listed)]
    return max(
        (Latest(epoch=first_at(point), values=point) for point in points),
        key=lambda each: each.epoch,
    )


def _largest(space: Space, name: str, default: Value) -> list[Value]:
    """All choices of a setting, or its largest number; its default as well, which it has
    where it is not active."""
    found = [default, *(_all(space, name) if name in space else ())]
    numbers = [value for value in found if not isinstance(value, (str, bool))]
    return [max(numbers)] if len(numbers) == len(found) else list(dict.fromkeys(found))


def _of(point: Mapping[str, Value], names: Collection[str]) -> dict[str, Value]:
    return {name: value for name, value in point.items() if name in names}


def _all(space: Space, name: str) -> list[Value]:
    """What a setting of whole numbers or choices can be."""
    return [value for branch in space[name].branches for value in values(branch.domain) or ()]


def read_epochs_of(
    node: Node | None,
    space: PlacedSpace,
    settings: Mapping[str, Setting],
    first_at: FullDepth,
    report: Report,
    *,
    compares: bool,
) -> Epochs:
    """``epochs``, its ``min`` by default the first epoch at which every trial of the space
    is at its final depth.

    Args:
        node: The section; None where there is none.
        space: What trials can be.
        settings: For defaults.
        first_at: Tells that epoch of one trial.
        report: Told where a trial would never be as deep as it says, and where trials
            are compared before they are.
        compares: Whether the scheduler compares trials at ``min``.
    """
    if not space.sound:
        return read_epochs(node, report) if node is not None else Epochs()
    last = latest(space.space, settings, first_at)
    before = report.found
    epochs = Epochs(min=min(last.epoch, Epochs().max))
    if node is not None:
        epochs = read_epochs(node, report, last.epoch)
    if report.found > before:
        return epochs
    low, high = _given(node, "min"), _given(node, "max")
    if last.epoch > epochs.max:
        strategy = space["finetune"].place if "finetune" in space else None
        place = high or strategy
        assert place is not None  # by default, every trial is at its depth from the start
        report.error(
            place,
            f"{last} is at its final depth from epoch {last.epoch}, epochs.max is {epochs.max}",
            f"epochs: {{max: {3 * last.epoch}}}",
        )
    elif low is not None and compares and epochs.min < last.epoch:
        report.warn(
            low,
            f"trials are compared from epoch {epochs.min} on, and {last} is at its final depth "
            f"from epoch {last.epoch}: it is judged on less than it will be",
            f"min: {last.epoch}, or no min",
        )
    return epochs


def _given(node: Node | None, key: str) -> Place | None:
    """Where a value of the section is written."""
    entry = node.get(key) if isinstance(node, Entries) else None
    return None if entry is None or is_null(entry.value) else entry.value.place
