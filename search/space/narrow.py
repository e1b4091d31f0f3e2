"""A study without the backbones that cannot be used here. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from search.space.domains import Choice, Domain, Fixed, Space
from search.space.points import check_point, complete, values_of
from search.space.reach import pruned
from search.space.settings import Setting, Value
from search.space.spec import StudySpec

_BACKBONE = "backbone"


def narrow(
    spec: StudySpec, backbones: Collection[str], settings: Mapping[str, Setting]
) -> tuple[StudySpec, tuple[str, ...]]:
    """``spec`` with the backbones of ``backbones`` alone.

    Domains, conditions and points to try first that only the others had go
    with them; the default settings take the first backbone that is left.

    Args:
        backbones: What can be used; at least one of the space's.
        settings: For the default settings.

    Returns:
        The spec, and what was left out: backbones first, then the points, e.g.
        ``("vit_b_16", "first: {backbone: vit_b_16, lr: 0.001}")``.

    Raises:
        ValueError: If no backbone of the space is left.
    """
    if _BACKBONE not in spec.space:
        return spec, ()
    dropped = tuple(str(name) for name in values_of(spec.space[_BACKBONE]) if name not in backbones)
    if not dropped:
        return spec, ()
    space = pruned(_with_backbones(spec.space, backbones))
    if _BACKBONE not in space:
        raise ValueError(f"no backbone of the space is left, it had {', '.join(dropped)}")
    first: list[dict[str, Value]] = []
    if spec.default_first:
        first.append(dict(complete(space, settings, {}).point))
    lost = []
    for pairs in spec.first[1 if spec.default_first else 0 :]:
        point = dict(pairs)
        if check_point(space, point):
            lost.append(f"first: {{{', '.join(f'{name}: {value}' for name, value in pairs)}}}")
        elif point not in first:
            first.append(point)
    narrowed = replace(spec, space=space, first=tuple(tuple(point.items()) for point in first))
    return narrowed, (*dropped, *lost)


def _with_backbones(space: Space, backbones: Collection[str]) -> Space:
    params = []
    for param in space.params:
        if param.name == _BACKBONE:
            branches = tuple(
                replace(branch, domain=domain)
                for branch in param.branches
                if (domain := _kept(branch.domain, backbones)) is not None
            )
            param = replace(param, branches=branches)
        if param.branches:
            params.append(param)
    return Space(params=tuple(params))


def _kept(domain: Domain, backbones: Collection[str]) -> Domain | None:
    if isinstance(domain, Fixed):
        return domain if domain.value in backbones else None
    assert isinstance(domain, Choice)
    choices = tuple(choice for choice in domain.choices if choice in backbones)
    return Choice(choices=choices) if choices else None
