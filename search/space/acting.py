"""Where a setting does anything: what its row says, for one space and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TypeAlias

from search.space.domains import Condition, Space, same
from search.space.points import contains, values, values_of
from search.space.scalars import plain
from search.space.settings import Setting, Value

Alternatives: TypeAlias = tuple[tuple[Condition, ...], ...]
"""Holds where all conditions of one of them do."""

_BACKBONE = "backbone"


def acts_in(setting: Setting, space: Space, settings: Mapping[str, Setting]) -> Alternatives | None:
    """Where a setting does anything in a space; None where that is everywhere.

    What its row says of backbones is a condition on those of this space, e.g.
    ``backbone`` of ``swin_t`` for ``stochastic_depth`` in ``[resnet18, swin_t]``; one
    without values never holds. So are where it rests, and a value that it must be below;
    a range that has no lowest value above one at which it rests is taken to be above it.
    """
    found: Alternatives = setting.acts
    if setting.lacking:
        names = values_of(space[_BACKBONE]) if _BACKBONE in space else ()
        backbones = names or (settings[_BACKBONE].default,)
        having = tuple(name for name in backbones if not _lacks(setting, str(name)))
        if len(having) < len(backbones):
            condition = Condition(param=_BACKBONE, values=having)
            found = tuple((*group, condition) for group in found or ((),))
    for rest in setting.rests:
        told = (_unlike(condition, space, settings) for condition in rest)
        others = [other for other in told if other is not None]
        if len(others) < len(rest):
            continue  # one of them never holds here, so they never do together
        groups = [_both(group, other) for group in found or ((),) for other in others]
        able = [group for group in groups if all(each.values != () for each in group)]
        found = tuple(able) or (groups[0],)
    if setting.below and not _ever_below(setting, space, settings):
        never = Condition(param=setting.name, values=())
        found = tuple((*group, never) for group in found or ((),))
    return found or None


def _unlike(
    condition: Condition, space: Space, settings: Mapping[str, Setting]
) -> Condition | None:
    """Holds at the values of a space at which ``condition`` does not; None where that is
    at all of them, but for the edge of a range."""
    setting = settings[condition.param]
    found = _possible(setting, space)
    others = [value for value in found or () if not condition.holds({setting.name: value})]
    if found is None or len(others) == len(found):
        return None
    if setting.kind == "choice" or not others:
        return Condition(param=setting.name, values=tuple(others))
    return Condition(param=setting.name, min=min(map(float, others)))


def _both(group: tuple[Condition, ...], other: Condition) -> tuple[Condition, ...]:
    """All of them, with one condition on what ``other`` lists values of."""
    if other.values is None:
        return (*group, other)
    mine = [each for each in group if each.param == other.param]
    listed = tuple(
        value for value in other.values if all(each.holds({other.param: value}) for each in mine)
    )
    return (*(each for each in group if each not in mine), replace(other, values=listed))


def _ever_below(setting: Setting, space: Space, settings: Mapping[str, Setting]) -> bool:
    """Whether its least value but the default is below the other's largest."""
    mine, other = _possible(setting, space), _possible(settings[setting.below], space)
    if mine is None or other is None:
        return True
    least = min((int(each) for each in mine if not same(each, setting.default)), default=None)
    return least is not None and least < max(map(int, other))


def _possible(setting: Setting, space: Space) -> tuple[Value, ...] | None:
    """What a setting can be in a space, its default where it can be inactive; None where
    that is a range without steps."""
    if setting.name not in space:
        return (setting.default,)
    param = space[setting.name]
    if any(values(branch.domain) is None for branch in param.branches):
        return None
    found = values_of(param)
    active = any(not branch.when for branch in param.branches)
    return found if active else (*found, setting.default)


def _lacks(setting: Setting, backbone: str) -> bool:
    return any(fnmatchcase(backbone, pattern) for pattern in setting.lacking)


def hold(alternatives: Alternatives, point: Mapping[str, Value]) -> bool:
    """Whether one of the alternatives holds at ``point``."""
    return any(all(condition.holds(point) for condition in group) for group in alternatives)


def words(setting: Setting, settings: Mapping[str, Setting]) -> str:
    """Where a setting does anything, e.g. ``unfreeze_depth is 1 or more``; empty for
    everywhere."""
    said = [
        _all_said(setting.acts, settings),
        f"it is less than {setting.below}" if setting.below else "",
        setting.condition,
        f"not where {_all_said(setting.rests, settings)}" if setting.rests else "",
    ]
    return ", and ".join(part for part in said if part)


def _all_said(alternatives: Alternatives, settings: Mapping[str, Setting]) -> str:
    return " or ".join(
        " and ".join(_said(condition, settings[condition.param]) for condition in group)
        for group in alternatives
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
