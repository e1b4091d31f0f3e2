"""What values the params of a trial can take, and when they exist.

Pure values and one walk: :func:`choose` goes over the params in dependency
order and asks for each active one. Samplers, the grid, the default point and
the check of a given point are all this walk with another ``pick``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from search.space.settings import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A plain value: part of every trial, no parameter of the sampler."""

    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a list of distinct values, in the order of the file."""

    choices: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntRange:
    """Whole numbers from low to high, both included."""

    low: int
    high: int
    step: int = 1
    log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRange:
    """Numbers from low to high, both included."""

    low: float
    high: float
    log: bool = False
    steps: int | None = None
    """Evenly spaced values (in the log where ``log``); None is continuous."""


Domain: TypeAlias = Fixed | Choice | IntRange | FloatRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Holds when ``param`` is active and its value is allowed here."""

    param: str
    values: tuple[Value, ...] | None = None
    """Allowed values; None when min or max is used."""
    min: float | None = None
    max: float | None = None

    def holds(self, point: Mapping[str, Value]) -> bool:
        """Whether it holds at ``point``; an inactive param never does."""
        if self.param not in point:
            return False
        value = point[self.param]
        if self.values is not None:
            return any(same(value, allowed) for allowed in self.values)
        if isinstance(value, (str, bool)):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A domain under conditions, all of which must hold."""

    domain: Domain
    when: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One key of the space: the first branch whose conditions hold is used."""

    name: str
    branches: tuple[Branch, ...]

    def active(self, point: Mapping[str, Value]) -> Domain | None:
        """The domain in force once the params it depends on are in ``point``."""
        for branch in self.branches:
            if all(condition.holds(point) for condition in branch.when):
                return branch.domain
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """All domains, ordered so that a param comes after those it depends on."""

    params: tuple[Param, ...]

    def __getitem__(self, name: str) -> Param:
        for param in self.params:
            if param.name == name:
                return param
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(param.name == name for param in self.params)


def same(one: Value, other: Value) -> bool:
    """Equality that keeps ``True`` and ``1`` apart, and lets 1 equal 1.0."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def choose(space: Space, pick: Callable[[str, Domain], Value]) -> dict[str, Value]:
    """Walk the space and return the active params, in the order of the walk.

    Args:
        space: Params in dependency order.
        pick: Called once for each active param that is not Fixed, with its
            name and the domain in force; returns the value.
    """
    point: dict[str, Value] = {}
    for param in space.params:
        domain = param.active(point)
        if domain is None:
            continue
        if isinstance(domain, Fixed):
            point[param.name] = domain.value
        else:
            point[param.name] = pick(param.name, domain)
    return point
