"""A space without the backbones whose weights are not here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from search.space.domains import Branch, Choice, Condition, Fixed, Param, Space
from search.space.settings import Value
from search.space.spec import StudySpec

BACKBONE = "backbone"


def narrow(spec: StudySpec, backbones: Collection[str]) -> tuple[StudySpec, tuple[str, ...]]:
    """Keep only some backbones of a study.

    Args:
        spec: The study.
        backbones: Names to keep; at least one of the space's.

    Returns:
        The study without the others, without branches that can no longer hold,
        and without ``first`` points that use them; and a line for each such
        point that was dropped.
    """
    if BACKBONE not in spec.space:
        return spec, ()
    params = tuple(
        kept for param in spec.space.params if (kept := _narrowed(param, backbones)) is not None
    )
    first = []
    dropped = []
    for index, point in enumerate(spec.first):
        name = dict(point).get(BACKBONE)
        if name is None or name in backbones:
            first.append(point)
        else:
            dropped.append(f"first[{index}] uses {name}, which is left out")
    default_kept = bool(spec.first) and spec.first[0] in first
    narrowed = replace(
        spec,
        space=Space(params=params),
        first=tuple(first),
        default_first=spec.default_first and default_kept,
    )
    return narrowed, tuple(dropped)


def _narrowed(param: Param, backbones: Collection[str]) -> Param | None:
    branches = []
    for branch in param.branches:
        if not all(_can_hold(condition, backbones) for condition in branch.when):
            continue
        domain = branch.domain
        if param.name == BACKBONE:
            if isinstance(domain, Choice):
                kept: tuple[Value, ...] = tuple(
                    choice for choice in domain.choices if choice in backbones
                )
                if not kept:
                    continue
                domain = Choice(choices=kept)
            elif isinstance(domain, Fixed) and domain.value not in backbones:
                continue
        when = tuple(_kept_values(condition, backbones) for condition in branch.when)
        branches.append(Branch(domain=domain, when=when))
    return Param(name=param.name, branches=tuple(branches)) if branches else None


def _can_hold(condition: Condition, backbones: Collection[str]) -> bool:
    if condition.param != BACKBONE or condition.values is None:
        return True
    return any(value in backbones for value in condition.values)


def _kept_values(condition: Condition, backbones: Collection[str]) -> Condition:
    if condition.param != BACKBONE or condition.values is None:
        return condition
    kept = tuple(value for value in condition.values if value in backbones)
    return replace(condition, values=kept)
