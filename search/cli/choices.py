"""What a space can choose for a setting that has to be looked up beforehand."""

from __future__ import annotations

from search.space.domains import Space
from search.space.points import values
from search.space.settings import Value
from search.training.config import SETTINGS


def backbones_of(space: Space) -> tuple[str, ...]:
    """Names of all backbones that a space can choose, in its order."""
    return tuple(str(value) for value in _values(space, "backbone"))


def image_sizes_of(space: Space) -> tuple[int, ...]:
    """All image sizes that a space can choose; 0 is the backbone's own."""
    return tuple(int(value) for value in _values(space, "image_size"))


def depths_of(space: Space) -> tuple[int, ...]:
    """All depths of unfreezing that a space can choose."""
    return tuple(int(value) for value in _values(space, "unfreeze_depth"))


def _values(space: Space, name: str) -> list[Value]:
    """What a param of lists or whole numbers can be; its default where unnamed."""
    if name not in space:
        return [SETTINGS[name].default]
    found = [value for branch in space[name].branches for value in values(branch.domain) or ()]
    return list(dict.fromkeys(found))
