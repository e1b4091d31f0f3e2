"""A regression's values as strata of a split: bins with as many images each. Pure.

Of few images there are fewer bins, so that each bin can be in every part and the
parts still have the sizes that were asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

from search.data.images import Part
from search.data.listing import Found

BINS = 5
"""Of a regression's values, in which a split is stratified; at most."""


def quantiles(images: Sequence[Found], bins: int = BINS) -> tuple[Found, ...]:
    """The same images; where they have values, ``label`` is the bin of each.

    As many images in each bin, as far as equal values, which share a bin, let it.
    """
    values = sorted(image.value for image in images if image.value is not None)
    if not values:
        return tuple(images)
    edges = [values[len(values) * number // bins] for number in range(1, bins)]
    return tuple(
        replace(image, label=f"{bisect_right(edges, image.value or 0.0)}") for image in images
    )


def part_sizes(count: int, cut: Sequence[Part], shares: Mapping[str, float]) -> dict[Part, int]:
    """How many images each part is to have: its share, and one at least.

    Args:
        count: Images that are cut.
        cut: The parts, train first.
        shares: Of the others.

    Returns:
        Sizes that sum to ``count``, e.g. 9, 1, 1 of 11 images for shares of 0.05; a part
        has none only where there are fewer images than parts.
    """
    sizes: dict[Part, int] = {}
    left = count
    others = [part for part in cut if part != "train"]
    for later, part in zip(range(len(others), 0, -1), reversed(others), strict=True):
        sizes[part] = max(0, min(max(1, round(shares[part] * count)), left - later))
        left -= sizes[part]
    return {**sizes, "train": left}


def bins_for(sizes: Mapping[Part, int]) -> int:
    """Into how many bins values are sorted, so that each can be in every part."""
    return max(1, min(BINS, *sizes.values()))
