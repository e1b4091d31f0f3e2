"""What a policy does to an image: its distribution, and the numbers drawn from it.

A view is a pure function of (augmentation seed, image hash, view number). This
file turns the draws of :mod:`search.training.draws` into one affine map and a
colour change per image; ``warp.py`` applies them to pixels. Torch-free.

- ``none``: the evaluation geometry, nothing random.
- ``light``: random resized crop of AREA and RATIO, horizontal flip of one half.
- ``medium``: light, then rotation up to ANGLE degrees, zoom by up to ZOOM, and
  brightness, contrast and saturation within 1 +- COLOUR.
- ``heavy``: light, then TrivialAugment (Wide): one of 14 operations, one of 31
  strengths, both uniform; signed operations change sign for one half.

Coordinates are normalised: -1 and 1 are the outer edges of the image.
N images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.training.config import POLICIES
from search.training.draws import uniforms

AREA = (0.4, 1.0)
"""Share of the decoded square that a crop covers. Its mean, .7, is near the share
that evaluation sees (.77 for a crop ratio of .875), so that things have the same
apparent size in both (Touvron et al., "Fixing the train-test resolution
discrepancy", NeurIPS 2019)."""
RATIO = (3 / 4, 4 / 3)
"""Width over height of a crop, log-uniform."""
ANGLE = 15.0
"""Degrees, uniform, either way."""
ZOOM = 1.15
"""Largest change of scale either way, log-uniform."""
COLOUR = 0.2
"""Brightness, contrast and saturation factors are uniform in 1 +- this."""

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
)
"""TrivialAugment Wide's operations, in torchvision's order and spelling."""
STRENGTHS = 31
SIGNED = frozenset(OPERATIONS[1:10])
_TOP = {
    "ShearX": 0.99,
    "ShearY": 0.99,
    "TranslateX": 32.0,
    "TranslateY": 32.0,
    "Rotate": 135.0,
    "Brightness": 0.99,
    "Color": 0.99,
    "Contrast": 0.99,
    "Sharpness": 0.99,
}

AUGMENTATION_VERSION = 1
"""Raised whenever the same seed, image and view would give other pixels, here, in
``draws.py`` or in ``warp.py``; part of the key of what is stored of them."""

_TRIES = 10
_COLUMNS = 2 * _TRIES + 11
"""Areas, ratios; flip, angle, zoom, 3 colours, operation, strength, sign; place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What happens to each of N images in one view."""

    affine: NDArray[np.float32]
    """[N, 2, 3]: output coordinates (x, y, 1) to input coordinates."""
    colour: NDArray[np.float32] | None
    """[N, 3] brightness, contrast and saturation factors; medium alone."""
    operation: NDArray[np.int64] | None
    """[N] index into OPERATIONS; heavy alone."""
    strength: NDArray[np.float32] | None
    """[N] signed strength of the operation in torchvision's unit; heavy alone."""


def draw(policy: str, *, seed: int, view: int, keys: NDArray[np.uint64], image_size: int) -> Draws:
    """The random numbers of one view of N images.

    Args:
        policy: One of POLICIES except ``none``.
        seed: The study's augmentation seed.
        view: Number of the view, >= 0.
        keys: [N] words of the images' hashes.
        image_size: Side of the output in pixels (translations are in pixels).

    Raises:
        ValueError: If ``policy`` draws nothing or is unknown.
    """
    if policy not in POLICIES or policy == "none":
        raise ValueError(f"no policy that draws: {policy!r}")
    u = uniforms(seed, view, keys, _COLUMNS)
    half_N2, centre_N2 = _crop(u[:, :_TRIES], u[:, _TRIES : 2 * _TRIES], u[:, -2:])
    flip, angle, zoom, *colours, chosen, level, sign = u[:, 2 * _TRIES : -2].T
    half_N2[:, 0] *= np.where(flip < 0.5, -1.0, 1.0)
    colour = operation = strength = None
    turn_N22 = np.tile(np.eye(2), (len(keys), 1, 1))
    shift_N2 = np.zeros((len(keys), 2))
    if policy == "medium":
        half_N2 *= np.exp((2 * zoom - 1) * math.log(ZOOM))[:, None]
        turn_N22 = _turn((2 * angle - 1) * math.radians(ANGLE))
        colour = (1 + COLOUR * (2 * np.stack(colours, axis=1) - 1)).astype(np.float32)
    elif policy == "heavy":
        operation = (chosen * len(OPERATIONS)).astype(np.int64)
        bins = (level * STRENGTHS).astype(np.int64)
        table = _strengths()
        strength = table[operation, bins]
        signed = np.array([name in SIGNED for name in OPERATIONS])
        strength = np.where(signed[operation] & (sign < 0.5), -strength, strength)
        turn_N22, shift_N2 = move(operation, strength, image_size)
        strength = strength.astype(np.float32)
    affine = np.empty((len(keys), 2, 3))
    affine[:, :, :2] = half_N2[:, :, None] * turn_N22
    affine[:, :, 2] = half_N2 * shift_N2 + centre_N2
    return Draws(
        affine=affine.astype(np.float32), colour=colour, operation=operation, strength=strength
    )


def _crop(
    area_NT: NDArray[np.float64], ratio_NT: NDArray[np.float64], place_N2: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half sides and centres of the crops, [N, 2] each as (x, y).

    The first try that fits is taken, as torchvision's RandomResizedCrop does;
    when none does, the last one is cut to the image. Sides are real numbers here.
    """
    area = AREA[0] + (AREA[1] - AREA[0]) * area_NT
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = np.exp(low + (high - low) * ratio_NT)
    sides = np.sqrt(np.stack((area * ratio, area / ratio), axis=-1))
    fits = sides.max(axis=-1) <= 1.0
    taken = np.where(fits.max(axis=1), fits.argmax(axis=1), sides.shape[1] - 1)
    half = np.minimum(sides[np.arange(len(sides)), taken], 1.0)
    return half, (1.0 - half) * (2.0 * place_N2 - 1.0)


def _turn(radians_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """The maps from output to input that turn the picture anticlockwise, [N, 2, 2]."""
    cos, sin = np.cos(radians_N), np.sin(radians_N)
    return np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), axis=1)


def _strengths() -> NDArray[np.float64]:
    """[operations, STRENGTHS] unsigned strengths in torchvision's units."""
    steps = np.arange(STRENGTHS) / (STRENGTHS - 1)
    table = np.zeros((len(OPERATIONS), STRENGTHS))
    for row, name in enumerate(OPERATIONS):
        if name in _TOP:
            table[row] = steps * _TOP[name]
        elif name == "Posterize":
            table[row] = np.round(8 - steps * 6)
        elif name == "Solarize":
            table[row] = 1 - steps
    return table


def move(
    operation_N: NDArray[np.int64], strength_N: NDArray[np.float64], image_size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """TrivialAugment's geometric operations as maps, [N, 2, 2] and [N, 2].

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
    turn[rotated] = _turn(np.radians(strength_N[rotated]))
    for axis, letter in enumerate("XY"):
        sheared, moved = among(f"Shear{letter}"), among(f"Translate{letter}")
        turn[sheared, axis, 1 - axis] = strength_N[sheared]
        shift[sheared, axis] = strength_N[sheared]
        shift[moved, axis] = -2.0 * np.trunc(strength_N[moved]) / image_size
    return turn, shift
