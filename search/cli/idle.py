"""Settings that do nothing for some of the backbones that a space gives them to. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from search.backbones.catalogue import CATALOGUE
from search.problems import Problem
from search.space.domains import Space
from search.space.reach import joint
from search.space.settings import Value
from search.training.config import SETTINGS
from search.training.settings.regularisation import HAVE_STOCHASTIC_DEPTH

_NAMED = 3
"""Backbones that a warning names."""


def idle_settings(space: Space) -> list[Problem]:
    """A warning where ``stochastic_depth`` is given to backbones that have none.

    Of timm's nothing is said: their names do not tell.
    """
    if "stochastic_depth" not in space:
        return []
    points = joint(space, ["backbone", "stochastic_depth"], _told).points
    lacking = [
        str(point.get("backbone", SETTINGS["backbone"].default))
        for point in points
        if float(point.get("stochastic_depth", -1.0)) >= 0
    ]
    lacking = [name for name in dict.fromkeys(lacking) if _lacks(name)]
    if not lacking:
        return []
    more = f" (and {len(lacking) - _NAMED} more)" if len(lacking) > _NAMED else ""
    having = ", ".join(str(name) for name in _backbones(space) if not _lacks(str(name)))
    fix = f"when: {{backbone: [{having}]}}" if having else "leave stochastic_depth out"
    return [
        Problem(
            fact="stochastic_depth does nothing for backbones that have none: "
            f"{', '.join(lacking[:_NAMED])}{more}",
            fix=fix,
            level="warning",
        )
    ]


def _told(name: str, value: Value) -> Hashable:
    return value if name == "backbone" else name == "stochastic_depth" and float(value) >= 0


def _lacks(name: str) -> bool:
    info = CATALOGUE.get(name)
    torchvision = info is not None and info.library == "torchvision"
    return torchvision and not name.startswith(HAVE_STOCHASTIC_DEPTH)


def _backbones(space: Space) -> list[Value]:
    points = joint(space, ["backbone"], _told).points
    return list(
        dict.fromkeys(point.get("backbone", SETTINGS["backbone"].default) for point in points)
    )
