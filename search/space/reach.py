"""Which branches of a space can ever be in force, and together with what.

Values that no condition tells apart are merged, so that a handful of points
stands for all of them. Pure. Only the params that matter are walked, and a space
with too many combinations is accepted unseen: no file takes long to check.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

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

MAX_STEPS = 1_500
"""Params looked at in one walk; a space that needs more is taken as it is."""
_MAX_LISTED = 2_048

Telling = Callable[[str, Value], Hashable]
"""Tells apart values that conditions do not: equal results may be merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Points that stand for all points over some params and their ancestors."""

    points: tuple[dict[str, Value], ...]
    whole: bool
    """False when there were too many to look at them all."""


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


def joint(space: Space, names: Iterable[str], telling: Telling = nothing) -> Joint:
    """Active points over ``names`` and their ancestors, a few that stand for all."""
    wanted = ancestors(space, names)
    walk = _Walk([param for param in space.params if param.name in wanted], telling)
    points = tuple(walk.points(0, {}))
    return Joint(points=points, whole=walk.steps < MAX_STEPS)


class _Walk:
    """One enumeration; values that nothing tells apart are merged, once a domain."""

    def __init__(self, params: list[Param], telling: Telling) -> None:
        self.steps = 0
        self._params = params
        self._telling = telling
        self._merged: dict[tuple[str, int], list[Value]] = {}
        self._tests: dict[str, set[Condition]] = {param.name: set() for param in params}
        for param in params:
            for branch in param.branches:
                for condition in branch.when:
                    self._tests[condition.param].add(condition)

    def points(self, index: int, point: dict[str, Value]) -> Iterator[dict[str, Value]]:
        """Points that agree with ``point`` on the params before ``index``."""
        if self.steps >= MAX_STEPS:
            return
        if index == len(self._params):
            yield dict(point)
            return
        self.steps += 1
        param = self._params[index]
        branch = in_force(param, point)
        if branch is None:
            yield from self.points(index + 1, point)
            return
        for value in self._representatives(param, branch):
            point[param.name] = value
            yield from self.points(index + 1, point)
        del point[param.name]

    def _representatives(self, param: Param, branch: int) -> list[Value]:
        key = (param.name, branch)
        if key not in self._merged:
            tests = list(self._tests[param.name])
            kept: dict[Hashable, Value] = {}
            for value in _candidates(param.branches[branch].domain, tests):
                told = tuple(test.holds({param.name: value}) for test in tests)
                kept.setdefault((told, self._telling(param.name, value)), value)
            self._merged[key] = list(kept.values())
        return self._merged[key]


def in_force(param: Param, point: Mapping[str, Value]) -> int | None:
    """The index of the branch that is in force at ``point``."""
    for index, branch in enumerate(param.branches):
        if all(condition.holds(point) for condition in branch.when):
            return index
    return None


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


def dead_branches(space: Space, name: str) -> dict[int, bool]:
    """Branches of ``name`` that no point uses: their index, and whether their
    conditions can hold (a branch before them is used then)."""
    param = space[name]
    found = joint(space, [name])
    if not found.whole:
        return {}
    used = {in_force(param, point) for point in found.points}
    return {
        index: any(all(test.holds(point) for test in branch.when) for point in found.points)
        for index, branch in enumerate(param.branches)
        if index not in used
    }


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
        dead = dead_branches(candidate, param.name)
        alive: tuple[Branch, ...] = tuple(
            branch for index, branch in enumerate(branches) if index not in dead
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
