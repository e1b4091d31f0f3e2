"""A split of images that are in several classes, or in none.

Pure. Each class, and each part as a whole, gets its share as nearly as units allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from search.data.images import Part
from search.data.listing import Found


def fill_iteratively(
    units: Sequence[Sequence[Found]], cut: Sequence[Part], shares: Mapping[Part, float]
) -> list[Part]:
    """A part for each unit, the units of the rarest class first.

    Source: iterative stratification (Sechidis et al., "On the Stratification of
    Multi-Label Data", ECML 2011, Algorithm 1). Deviations: units of several images
    count with all of them; being in no class is a class of its own, so that those
    images are not left to the end; a tie goes to the first in the order of ``units``
    or ``cut``, where the paper draws.

    Args:
        units: What stays together, in an order that depends on the seed.
        cut: The parts to fill.
        shares: Of each part in ``cut``; they sum to 1.
    """
    strata = [Counter(name for image in unit for name in image.strata) for unit in units]
    wanted = {
        part: {name: shares[part] * count for name, count in sum(strata, Counter[str]()).items()}
        for part in cut
    }
    room = {part: shares[part] * sum(len(unit) for unit in units) for part in cut}
    chosen: list[Part | None] = [None] * len(units)
    waiting: dict[str, list[int]] = {}
    for at, own in enumerate(strata):
        for name in own:
            waiting.setdefault(name, []).append(at)
    left = {name: len(numbers) for name, numbers in waiting.items()}
    while left:
        rarest = min(left, key=lambda name: (left[name], name))
        for at in waiting[rarest]:
            if chosen[at] is not None:
                continue
            best = max(cut, key=lambda part: (wanted[part][rarest], room[part]))
            chosen[at] = best
            room[best] -= len(units[at])
            for name, count in strata[at].items():
                wanted[best][name] -= count
                if name in left:
                    left[name] -= 1
        del left[rarest]
        left = {name: count for name, count in left.items() if count > 0}
    return [part if part is not None else cut[0] for part in chosen]
