"""Where a setting does anything: what its row says, for one space and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TypeAlias

from search.space.domains import Condition, Space
from search.space.points import contains, values_of
from search.space.scalars import plain
from search.space.settings import Setting, Value

Alternatives: TypeAlias = tuple[tuple[Condition, ...], ...]
"""Holds where all conditions of one of them do."""

_BACKBONE = "backbone"


def acts_in(setting: Setting, space: Space, settings: Mapping[str, Setting]) -> Alternatives | None:
    """Where a setting does anything in a space; None where that is everywhere.

    What its row says of backbones is a condition on those of this space, e.g.
    ``backbone`` of ``swin_t`` for ``stochastic_depth`` in ``[resnet18, swin_t]``; one
    without values never holds.
    """
    found: Alternatives = setting.acts
    if setting.lacking:
        names = values_of(space[_BACKBONE]) if _BACKBONE in space else ()
        backbones = names or (settings[_BACKBONE].default,)
        having = tuple(name for name in backbones if not _lacks(setting, str(name)))
        if len(having) < len(backbones):
            condition = Condition(param=_BACKBONE, values=having)
            found = tuple((*group, condition) for group in found or ((),))
    return found or None


def _lacks(setting: Setting, backbone: str) -> bool:
    return any(fnmatchcase(backbone, pattern) for pattern in setting.lacking)


def hold(alternatives: Alternatives, point: Mapping[str, Value]) -> bool:
    """Whether one of the alternatives holds at ``point``."""
    return any(all(condition.holds(point) for condition in group) for group in alternatives)


def words(setting: Setting, settings: Mapping[str, Setting]) -> str:
    """Where a setting does anything, e.g. ``unfreeze_depth is 1 or more``; empty for
    everywhere."""
    told = " or ".join(
        " and ".join(_said(condition, settings[condition.param]) for condition in group)
        for group in setting.acts
    )
    return (
        f"{told}, and {setting.condition}"
        if told and setting.condition
        else (told or setting.condition)
    )


def _said(condition: Condition, setting: Setting) -> str:
    if condition.values is None:
        edges = [
            *([f"{plain(condition.min)} or more"] if condition.min is not None else []),
            *([f"{plain(condition.max)} or less"] if condition.max is not None else []),
        ]
        return f"{condition.param} is {' and '.join(edges)}"
    others = [choice for choice in setting.choices if choice not in condition.values]
    if len(others) == 1 < len(condition.values):
        return f"{condition.param} is not {plain(others[0])}"
    return f"{condition.param} is {' or '.join(map(plain, condition.values))}"


def as_when(conditions: tuple[Condition, ...], space: Space) -> str:
    """The ``when`` of a space file that says so, with the values that its settings have
    there, e.g. ``{unfreeze_depth: {min: 1}, augmentation: [light, medium]}``."""
    return f"{{{', '.join(_typed(condition, space) for condition in conditions)}}}"


def _typed(condition: Condition, space: Space) -> str:
    if condition.values is None:
        low, high = condition.min, condition.max
        edges = [f"min: {plain(low)}"] if low is not None else []
        edges += [f"max: {plain(high)}"] if high is not None else []
        return f"{condition.param}: {{{', '.join(edges)}}}"
    domains = [branch.domain for branch in space[condition.param].branches]
    possible = [
        plain(value)
        for value in condition.values
        if any(contains(domain, value) for domain in domains)
    ]
    text = possible[0] if len(possible) == 1 else f"[{', '.join(possible)}]"
    return f"{condition.param}: {text}"


def as_value(condition: Condition) -> str:
    """A line of a space file under which a condition holds, e.g. ``optimiser: sgd``."""
    edge = condition.min if condition.min is not None else condition.max
    return f"{condition.param}: {plain(condition.values[0] if condition.values else edge)}"
