"""The operations of TrivialAugment, RandAugment and AutoAugment, and how they are drawn.

Torch-free. Strengths are torchvision's, in its units, and drawn with its
probabilities; ``warp.py`` applies the colours, and :func:`move` is where the geometric
ones go. Deviation, of policies with several operations: the geometric ones join the
crop, so they come before those of colour, in their own order.
N images, L operations one after the other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
    "Invert",
)
"""In torchvision's order and spelling. AutoAugment alone inverts."""
TRIED = 14
"""The first so many are TrivialAugment's and RandAugment's."""
COLOURS = OPERATIONS[6:]
"""Those that change colours, not places."""
STRENGTHS = 31
"""Steps of strength, of TrivialAugment and RandAugment."""
AUTO_STRENGTHS = 10
"""Steps of strength, of AutoAugment."""
SIGNED = frozenset(OPERATIONS[1:10])
"""Those whose strength changes sign for one half."""

Sub: TypeAlias = tuple[tuple[str, float, int], tuple[str, float, int]]
"""Two operations, each with its probability and step of strength."""

IMAGENET: tuple[Sub, ...] = (
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, 0), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, 0)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, 0)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, 0), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, 0)),
    (("Equalize", 0.0, 0), ("Equalize", 0.8, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, 0)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, 0)),
    (("Color", 0.4, 0), ("Equalize", 0.6, 0)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
)
"""Source: Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data",
CVPR 2019, table 9, as torchvision has it. A step of 0 stands where there is none."""

_WIDE = (0.99, 32.0, 135.0, 0.99, 6)
_NARROW = (0.3, 0.0, 30.0, 0.9, 4)
"""Largest shear, translation in pixels, turn in degrees, change of colour, and bits
that posterizing takes away. A translation of 0: :data:`_NARROW_SHIFT` of the side."""
_NARROW_SHIFT = 150.0 / 331.0


@lru_cache(maxsize=8)
def strengths(bins: int, image_size: int, *, wide: bool) -> NDArray[np.float64]:
    """[operations, bins] unsigned strengths in torchvision's units.

    Args:
        bins: Steps from the weakest to the strongest.
        image_size: Side in pixels.
        wide: TrivialAugment's; else RandAugment's and AutoAugment's.
    """
    shear, shift, turn, colour, bits = _WIDE if wide else _NARROW
    shift = shift or _NARROW_SHIFT * image_size
    top = {"Rotate": turn, "ShearX": shear, "ShearY": shear, "TranslateX": shift}
    top |= {"TranslateY": shift} | dict.fromkeys(OPERATIONS[6:10], colour)
    steps = np.arange(bins) / (bins - 1)
    table = np.zeros((len(OPERATIONS), bins))
    for row, name in enumerate(OPERATIONS):
        if name in top:
            table[row] = steps * top[name]
        elif name == "Posterize":
            table[row] = np.round(8 - steps * bits)
        elif name == "Solarize":
            table[row] = 1 - steps
    table.setflags(write=False)
    return table


def trivial(
    u_N3: NDArray[np.float64], image_size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """TrivialAugment (Wide): one operation and one strength, both uniform.

    Args:
        u_N3: For operation, strength and sign.
        image_size: Side in pixels.

    Returns:
        Operations and signed strengths, [N, 1] each.
    """
    operation = (u_N3[:, 0] * TRIED).astype(np.int64)
    step = (u_N3[:, 1] * STRENGTHS).astype(np.int64)
    strength = strengths(STRENGTHS, image_size, wide=True)[operation, step]
    return operation[:, None], _signed(operation, strength, u_N3[:, 2])[:, None]


def random(
    u_N2L: NDArray[np.float64], magnitude: int, image_size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """RandAugment: L operations, each uniform, all of one strength.

    Args:
        u_N2L: For operation and sign.
        magnitude: 0 .. STRENGTHS - 1.
        image_size: Side in pixels.

    Returns:
        Operations and signed strengths, [N, L] each.
    """
    operation = (u_N2L[:, 0] * TRIED).astype(np.int64)
    strength = strengths(STRENGTHS, image_size, wide=False)[operation, magnitude]
    return operation, _signed(operation, strength, u_N2L[:, 1])


def auto(
    chosen_N: NDArray[np.float64], u_N22: NDArray[np.float64], image_size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """AutoAugment for ImageNet: one of 25 pairs; each operation with its probability.

    Args:
        chosen_N: For the pair.
        u_N22: For whether an operation is applied, and for its sign; then by operation.
        image_size: Side in pixels.

    Returns:
        Operations and signed strengths, [N, 2] each; Identity where none is applied.
    """
    names = np.array([[OPERATIONS.index(name) for name, _, _ in sub] for sub in IMAGENET])
    chances = np.array([[chance for _, chance, _ in sub] for sub in IMAGENET])
    steps = np.array([[step for _, _, step in sub] for sub in IMAGENET])
    sub = (chosen_N * len(IMAGENET)).astype(np.int64)
    operation = np.where(u_N22[:, 0] < chances[sub], names[sub], 0)
    strength = strengths(AUTO_STRENGTHS, image_size, wide=False)[operation, steps[sub]]
    return operation, _signed(operation, strength, u_N22[:, 1])


def _signed(
    operation: NDArray[np.int64], strength: NDArray[np.float64], u: NDArray[np.float64]
) -> NDArray[np.float64]:
    signed = np.array([name in SIGNED for name in OPERATIONS])
    return np.where(signed[operation] & (u < 0.5), -strength, strength)


def turned(radians_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """The maps from output to input that turn the picture anticlockwise, [N, 2, 2]."""
    cos, sin = np.cos(radians_N), np.sin(radians_N)
    return np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), axis=1)


def move(
    operation_N: NDArray[np.int64], strength_N: NDArray[np.float64], image_size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The geometric operations as maps from output to input, [N, 2, 2] and [N, 2].

    Shears keep the top left corner in place and translations are whole pixels,
    as in torchvision. Deviation: they join the crop in one bilinear sampling, so
    what comes into view is the photograph around the crop, mirrored at its edge,
    not black.
    """
    turn = np.tile(np.eye(2), (len(operation_N), 1, 1))
    shift = np.zeros((len(operation_N), 2))

    def among(name: str) -> NDArray[np.bool_]:
        return np.equal(operation_N, OPERATIONS.index(name))

    rotated = among("Rotate")
    turn[rotated] = turned(np.radians(strength_N[rotated]))
    for axis, letter in enumerate("XY"):
        sheared, moved = among(f"Shear{letter}"), among(f"Translate{letter}")
        turn[sheared, axis, 1 - axis] = strength_N[sheared]
        shift[sheared, axis] = strength_N[sheared]
        shift[moved, axis] = -2.0 * np.trunc(strength_N[moved]) / image_size
    return turn, shift
