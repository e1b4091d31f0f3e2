"""Which branches of a space can ever be in force, and together with what.

Values that no condition tells apart are merged, so that a handful of points
stands for all of them. Pure. Only the params that matter are walked; more than
MAX_POINTS combinations are not looked at, which errs on the side of accepting.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice, pairwise

from search.space.domains import (
    Branch,
    Condition,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    Param,
    Space,
    same,
)
from search.space.points import contains, values
from search.space.settings import Value

MAX_POINTS = 20_000
_MAX_LISTED = 2_048

Telling = Callable[[str, Value], Hashable]
"""Tells apart values that conditions do not: equal results may be merged."""


def nothing(name: str, value: Value) -> Hashable:
    """Tells nothing apart."""
    del name, value
    return None


def ancestors(space: Space, names: Iterable[str]) -> frozenset[str]:
    """``names`` and every param that decides whether they exist."""
    found: set[str] = set()
    waiting = [name for name in names if name in space]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [
            condition.param
            for branch in space[name].branches
            for condition in branch.when
            if condition.param in space
        ]
    return frozenset(found)


def joint(
    space: Space, names: Iterable[str], telling: Telling = nothing
) -> Iterator[dict[str, Value]]:
    """Active points over ``names`` and their ancestors that stand for all of them."""
    wanted = ancestors(space, names)
    params = [param for param in space.params if param.name in wanted]
    tests = {
        param.name: [
            condition
            for other in params
            for branch in other.branches
            for condition in branch.when
            if condition.param == param.name
        ]
        for param in params
    }
    return islice(_walk(params, tests, telling, {}), MAX_POINTS)


def _walk(
    params: list[Param],
    tests: dict[str, list[Condition]],
    telling: Telling,
    point: dict[str, Value],
) -> Iterator[dict[str, Value]]:
    if not params:
        yield dict(point)
        return
    param, rest = params[0], params[1:]
    domain = param.active(point)
    if domain is None:
        yield from _walk(rest, tests, telling, point)
        return
    for value in _representatives(param.name, domain, tests[param.name], telling):
        point[param.name] = value
        yield from _walk(rest, tests, telling, point)
    del point[param.name]


def _representatives(
    name: str, domain: Domain, conditions: list[Condition], telling: Telling
) -> list[Value]:
    kept: dict[Hashable, Value] = {}
    for value in _candidates(domain, conditions):
        told = tuple(condition.holds({name: value}) for condition in conditions)
        kept.setdefault((told, telling(name, value)), value)
    return list(kept.values())


def _candidates(domain: Domain, conditions: list[Condition]) -> Iterable[Value]:
    listed = values(domain)
    if listed is not None and len(listed) <= _MAX_LISTED:
        return listed
    assert isinstance(domain, (IntRange, FloatRange))
    edges: set[float] = {domain.low, domain.high}
    for condition in conditions:
        edges |= {edge for edge in (condition.min, condition.max) if edge is not None}
        edges |= {value for value in condition.values or () if not isinstance(value, (str, bool))}
    inside = sorted(edge for edge in edges if domain.low <= edge <= domain.high)
    if isinstance(domain, IntRange):
        steps = {
            domain.low + (int(edge - domain.low) // domain.step + shift) * domain.step
            for edge in inside
            for shift in (-1, 0, 1)
        }
        return sorted(step for step in steps if domain.low <= step <= domain.high)
    between = [(one + two) / 2 for one, two in pairwise(inside)]
    return sorted({*inside, *between})


def in_force(space: Space, name: str) -> frozenset[int]:
    """Indices of the branches of ``name`` that some point uses."""
    param = space[name]
    return frozenset(
        index for point in joint(space, [name]) if (index := _index(param, point)) is not None
    )


def can_hold(space: Space, name: str, conditions: tuple[Condition, ...]) -> bool:
    """Whether some point meets all ``conditions`` of a branch of ``name``."""
    return any(
        all(condition.holds(point) for condition in conditions) for point in joint(space, [name])
    )


def _index(param: Param, point: dict[str, Value]) -> int | None:
    for index, branch in enumerate(param.branches):
        if all(condition.holds(point) for condition in branch.when):
            return index
    return None


def meets(domain: Domain, condition: Condition) -> bool:
    """Whether ``condition`` holds for some value of ``domain``."""
    return any(
        condition.holds({condition.param: value}) for value in _candidates(domain, [condition])
    )


def is_fixed(space: Space) -> bool:
    """Whether every trial of the space is the same."""
    return all(
        isinstance(branch.domain, Fixed) for param in space.params for branch in param.branches
    )


def pruned(space: Space) -> Space:
    """``space`` without the branches, and values of conditions, that nothing reaches.

    What a param depends on comes before it, so one pass is enough.
    """
    params: list[Param] = []
    for param in space.params:
        known = {other.name: other for other in params}
        branches = []
        for branch in param.branches:
            trimmed = [_trimmed(condition, known) for condition in branch.when]
            if None not in trimmed:
                when = tuple(condition for condition in trimmed if condition is not None)
                branches.append(replace(branch, when=when))
        candidate = Space(params=(*params, replace(param, branches=tuple(branches))))
        reached = in_force(candidate, param.name)
        alive: tuple[Branch, ...] = tuple(
            branch for index, branch in enumerate(branches) if index in reached
        )
        if alive:
            params.append(replace(param, branches=alive))
    return Space(params=tuple(params))


def _trimmed(condition: Condition, known: Mapping[str, Param]) -> Condition | None:
    """The condition with the values that its param can still take; None when none."""
    if condition.param not in known:
        return None
    domains = [branch.domain for branch in known[condition.param].branches]
    if condition.values is None:
        return condition if any(meets(domain, condition) for domain in domains) else None
    values = tuple(
        value for value in condition.values if any(contains(domain, value) for domain in domains)
    )
    if not values:
        return None
    unchanged = len(values) == len(condition.values) and all(map(same, values, condition.values))
    return condition if unchanged else replace(condition, values=values)
