"""Points of a space: the default one, given ones, the grid. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from search.space.domains import (
    Choice,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    Param,
    Space,
    choose,
    same,
)
from search.space.settings import Setting, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A default that the space excludes."""

    name: str
    wanted: Value
    used: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """An active point, and which defaults had to move to be inside."""

    point: Mapping[str, Value]
    moved: tuple[Moved, ...]


def values(domain: Domain) -> Sequence[Value] | None:
    """All values of a domain, lowest or first first; None when it is continuous.

    Returns:
        E.g. ``values(FloatRange(low=1.0, high=100.0, log=True, steps=3)) == (1.0, 10.0, 100.0)``.
    """
    match domain:
        case Fixed():
            return (domain.value,)
        case Choice():
            return domain.choices
        case IntRange():
            return range(domain.low, domain.high + 1, domain.step)
        case FloatRange():
            if domain.low == domain.high:
                return (domain.low,)
            if domain.steps is None:
                return None
            return _steps(domain, domain.steps)


def _steps(domain: FloatRange, steps: int) -> tuple[float, ...]:
    inner = []
    for index in range(1, steps - 1):
        share = index / (steps - 1)
        if domain.log:
            low, high = math.log10(domain.low), math.log10(domain.high)
            inner.append(10 ** (low + share * (high - low)))
        else:
            inner.append(domain.low + share * (domain.high - domain.low))
    return (domain.low, *inner, domain.high)


def values_of(param: Param) -> tuple[Value, ...]:
    """Every value that ``param`` can take under any of its conditions, in order.

    Raises:
        ValueError: If one of its domains is continuous.
    """
    found: dict[tuple[bool, Value], Value] = {}
    for branch in param.branches:
        listed = values(branch.domain)
        if listed is None:
            raise ValueError(f"{param.name} is continuous")
        for value in listed:
            found.setdefault((isinstance(value, bool), value), value)
    return tuple(found.values())


def contains(domain: Domain, value: Value) -> bool:
    """Whether ``value`` is one of ``domain``'s; a step is met to 1e-9 of the range."""
    match domain:
        case Fixed():
            return same(domain.value, value)
        case Choice():
            return any(same(choice, value) for choice in domain.choices)
        case IntRange():
            return (
                isinstance(value, int)
                and not isinstance(value, bool)
                and domain.low <= value <= domain.high
                and (value - domain.low) % domain.step == 0
            )
        case FloatRange():
            if isinstance(value, (bool, str)) or not domain.low <= value <= domain.high:
                return False
            if domain.steps is None:
                return True
            near = nearest(domain, value)
            return math.isclose(float(near), value, rel_tol=1e-9, abs_tol=1e-12)


def nearest(domain: Domain, value: Value) -> Value:
    """``value`` where the domain has it, else its nearest value, else its first choice.

    On a tie the lower one; nearness is in the log where the domain is.
    """
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, Choice):
        return next((choice for choice in domain.choices if same(choice, value)), domain.choices[0])
    if isinstance(value, (bool, str)):
        return domain.low
    if isinstance(domain, IntRange):
        clipped = min(max(value, domain.low), domain.high)
        lower = domain.low + int(clipped - domain.low) // domain.step * domain.step
        upper = min(lower + domain.step, domain.high)
        return lower if clipped - lower <= upper - clipped else upper
    clipped = min(max(float(value), domain.low), domain.high)
    stepped = values(domain)
    if stepped is None:
        return clipped

    def distance(candidate: Value) -> float:
        one = float(candidate)
        return abs(math.log(one / clipped)) if domain.log else abs(one - clipped)

    return min(stepped, key=distance)


def complete(
    space: Space, settings: Mapping[str, Setting], given: Mapping[str, Value]
) -> Completed:
    """The active point with ``given`` where it names a param, defaults elsewhere.

    A given value outside the domain in force is moved like a default, but not
    listed under ``moved``: check with :func:`check_point` first.
    """
    moved: list[Moved] = []

    def pick(name: str, domain: Domain) -> Value:
        wanted = given.get(name, settings[name].default)
        used = nearest(domain, wanted)
        if not same(used, wanted) and name not in given:
            moved.append(Moved(name=name, wanted=wanted, used=used))
        return used

    return Completed(point=choose(space, pick), moved=tuple(moved))


def default_point(space: Space, settings: Mapping[str, Setting]) -> Completed:
    """Every setting at its default; the nearest value or first choice where the
    space excludes that. A value that the space fixes is not called moved."""
    return complete(space, settings, {})


def check_point(space: Space, point: Mapping[str, Value]) -> list[str]:
    """Why ``point`` is no active point of ``space``; empty when it is one.

    Returns:
        E.g. ``["lr: 2.0 is outside", "dropout is missing", "depth is inactive here"]``.
    """
    reasons = []
    for param in space.params:
        domain = param.active(point)
        if domain is None:
            if param.name in point:
                reasons.append(f"{param.name} is inactive here")
        elif param.name not in point:
            reasons.append(f"{param.name} is missing")
        elif not contains(domain, point[param.name]):
            reasons.append(f"{param.name}: {point[param.name]} is outside")
    reasons += [f"{name} is not in the space" for name in point if name not in space]
    return reasons


def grid(space: Space, limit: int | None = None) -> Iterator[dict[str, Value]]:
    """Distinct active points, the last param changing fastest.

    Args:
        space: Every float range has ``steps``.
        limit: At most this many; None gives all.

    Raises:
        ValueError: If a range is continuous.
    """
    return islice(_grid(space, 0, {}), limit)


def _grid(space: Space, index: int, point: dict[str, Value]) -> Iterator[dict[str, Value]]:
    if index == len(space.params):
        yield dict(point)
        return
    param = space.params[index]
    domain = param.active(point)
    if domain is None:
        yield from _grid(space, index + 1, point)
        return
    listed = values(domain)
    if listed is None:
        raise ValueError(f"{param.name} is continuous: a grid needs steps")
    for value in listed:
        point[param.name] = value
        yield from _grid(space, index + 1, point)
    del point[param.name]


def grid_size(space: Space, limit: int) -> int:
    """How many points the grid has, counted up to ``limit``."""
    return sum(1 for _ in grid(space, limit))
