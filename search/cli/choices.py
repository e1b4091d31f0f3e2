"""What a space can choose for a setting that has to be looked up beforehand."""

from __future__ import annotations

from search.backbones.catalogue import CATALOGUE
from search.data.cache import GIGABYTE
from search.space.domains import Space
from search.space.points import values
from search.space.settings import Value
from search.space.spec import CacheSpec, StudySpec
from search.training.config import SETTINGS
from search.training.rates import FROM_THE_HEAD


def backbones_of(space: Space) -> tuple[str, ...]:
    """Names of all backbones that a space can choose, in its order."""
    return tuple(str(value) for value in _values(space, "backbone"))


def libraries_of(space: Space) -> tuple[str, ...]:
    """Names of the packages that have the backbones that a space can choose."""
    return tuple(sorted({CATALOGUE[name].library for name in backbones_of(space)}))


def image_sizes_of(space: Space) -> tuple[int, ...]:
    """All image sizes that a space can choose; 0 is the backbone's own."""
    return tuple(int(value) for value in _values(space, "image_size"))


def depths_of(space: Space) -> tuple[int, ...]:
    """All depths of unfreezing that a space can choose."""
    return tuple(int(value) for value in _values(space, "unfreeze_depth"))


def boundaries_of(spec: StudySpec) -> tuple[int, ...]:
    """The boundaries behind which trials can train, in any of their phases: blocks in
    front of it, 1..5."""
    named = [dict(point).get("unfreeze_depth") for point in spec.first]
    depths = {*depths_of(spec.space), *(int(depth) for depth in named if depth is not None)}
    strategies = {str(value) for value in _values(spec.space, "finetune")}
    if strategies & {"gradual", "head_then_partial"}:
        depths.add(0)
    if "gradual" in strategies:
        depths |= set(range(max(depths)))
    blocks = len(FROM_THE_HEAD)
    return tuple(sorted(blocks - depth for depth in depths if depth < blocks))


def cache_bytes(cache: CacheSpec) -> int | None:
    """The cache's byte budget; None where each machine decides."""
    return None if cache.max_gb is None else round(cache.max_gb * GIGABYTE)


def _values(space: Space, name: str) -> list[Value]:
    """What a param of lists or whole numbers can be; its default where unnamed."""
    if name not in space:
        return [SETTINGS[name].default]
    found = [value for branch in space[name].branches for value in values(branch.domain) or ()]
    return list(dict.fromkeys(found))
