"""What must stay together: images of one group, files of one content."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.images import ImageRow


def together(keys: Sequence[Sequence[str]]) -> list[int]:
    """A number for each, the same for all that share a key, be it through others.

    Args:
        keys: Of each.

    Returns:
        From 0 on, in the order of the first of each unit: ``[0, 0, 1, 0]`` for
        ``[["a"], ["b", "a"], [], ["b"]]``.
    """
    parents = list(range(len(keys)))

    def find(place: int) -> int:
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    first: dict[str, int] = {}
    for place, own in enumerate(keys):
        for key in own:
            one, other = sorted((find(place), find(first.setdefault(key, place))))
            parents[other] = one
    numbers: dict[int, int] = {}
    return [numbers.setdefault(find(place), len(numbers)) for place in range(len(keys))]


def units_of(rows: Sequence[ImageRow]) -> NDArray[np.int64] | None:
    """The unit of each image, in ``range(units)``; None where each is one by itself."""
    found = together([_keys(row) for row in rows])
    return None if len(set(found)) == len(found) else np.array(found, dtype=np.int64)


def _keys(row: ImageRow) -> list[str]:
    named = (("group", row.group), ("same", row.sha256))
    return [f"{kind} {name}" for kind, name in named if name]
