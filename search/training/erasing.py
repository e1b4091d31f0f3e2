"""Which rectangle of a view is erased: drawn with the view, so that it is part of it.

Torch-free. What is stored of a view stays right: the same image and view lose the
same pixels in every trial of the same probability, and where the probability is
higher, the same ones and more. ``warp.py`` makes them the mean colour.
N images, T tries.

Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, with
torchvision's limits and its value of 0 after normalisation. Deviation from the paper:
at most 10 tries, a third of the area where the paper has .4, and one colour.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

AREA = (0.02, 0.33)
"""Share of the view, uniform."""
RATIO = (0.3, 3.3)
"""Height over width, log-uniform."""


def rectangles(
    probability: float,
    *,
    whether_N: NDArray[np.float64],
    area_NT: NDArray[np.float64],
    ratio_NT: NDArray[np.float64],
    place_N2: NDArray[np.float64],
    size: int,
) -> NDArray[np.int64]:
    """The rectangle of each view, [N, 4]: top, left, height, width in whole pixels.

    Height and width are 0 where nothing is erased: for 1 - ``probability`` of the
    views, and where no try gives one that is smaller than the view both ways.

    Args:
        probability: That one is drawn, [0, 1].
        whether_N: Uniform numbers, as are the next three.
        area_NT: One a try.
        ratio_NT: One a try.
        place_N2: For top and left.
        size: Side of the view in pixels.
    """
    area = size * size * (AREA[0] + (AREA[1] - AREA[0]) * area_NT)
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = np.exp(low + (high - low) * ratio_NT)
    sides = np.rint(np.sqrt(np.stack((area * ratio, area / ratio), axis=-1))).astype(np.int64)
    fits = sides.max(axis=-1) < size
    side_N2 = sides[np.arange(len(sides)), fits.argmax(axis=1)]
    corner_N2 = (place_N2 * (size - side_N2 + 1)).astype(np.int64)
    erased = (whether_N < probability) & fits.any(axis=1)
    found: NDArray[np.int64] = np.concatenate([corner_N2, side_N2], axis=1) * erased[:, None]
    return found
