"""From a recipe to the numbers drawn for an image.

A view is a pure function of (augmentation seed, image hash, view number). This
file turns the draws of :mod:`search.training.draws` into one affine map, a colour
change, some operations and an erased rectangle per image; ``warp.py`` applies them
to pixels; ``recipe.py`` says what the policies are. Torch-free.

What happens to a picture, in this order: crop, flip, scale, rotation, colour, the
operations of TrivialAugment, RandAugment or AutoAugment, erasing.

Coordinates are normalised: -1 and 1 are the outer edges of the image.
N images, L operations one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.training import operations
from search.training.draws import uniforms
from search.training.erasing import rectangles
from search.training.recipe import Recipe
from search.training.settings.augmentation import OPERATIONS_MOST

RATIO = (3 / 4, 4 / 3)
"""Width over height of a crop, log-uniform."""

AUGMENTATION_VERSION = 1
"""Raised whenever the same seed, image and view would give other pixels, here, in
``draws.py`` or in ``warp.py``; part of the key of what is stored of them."""

_TRIES = 10
# Columns of the drawn numbers. Never moved: stored features are of what they give.
_AREA = slice(0, 10)
_RATIO = slice(10, 20)
_MIRROR, _ANGLE, _ZOOM = 20, 21, 22
_COLOURS = slice(23, 26)
_OPERATION = slice(26, 29)
_PLACE = slice(29, 31)
_UPSIDE_DOWN = 31
_ERASE = 32
_ERASED_AREA = slice(33, 43)
_ERASED_RATIO = slice(43, 53)
_ERASED_PLACE = slice(53, 55)
_SEVERAL = 55
"""From here on two an operation: which, or whether; and its sign."""
_COLUMNS = _SEVERAL + 2 * OPERATIONS_MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What happens to each of N images in one view."""

    affine: NDArray[np.float32]
    """[N, 2, 3]: output coordinates (x, y, 1) to input coordinates."""
    colour: NDArray[np.float32] | None = None
    """[N, 3] brightness, contrast and saturation factors."""
    operation: NDArray[np.int64] | None = None
    """[N, L] index into OPERATIONS, in the order in which they are applied."""
    strength: NDArray[np.float32] | None = None
    """[N, L] signed strength of the operation in torchvision's unit."""
    erased: NDArray[np.int64] | None = None
    """[N, 4] top, left, height and width in pixels; height 0 for nothing."""


def draw(
    recipe: Recipe, *, seed: int, view: int, keys: NDArray[np.uint64], image_size: int
) -> Draws:
    """The random numbers of one view of N images.

    Args:
        recipe: What can happen to them.
        seed: The study's augmentation seed.
        view: Number of the view, >= 0.
        keys: [N] words of the images' hashes.
        image_size: Side of the output in pixels (translations are in pixels).
    """
    u = uniforms(seed, view, keys, _COLUMNS)
    half_N2, centre_N2 = _crop(recipe.crop, u[:, _AREA], u[:, _RATIO], u[:, _PLACE])
    if recipe.flip in ("horizontal", "both"):
        half_N2[:, 0] *= np.where(u[:, _MIRROR] < 0.5, -1.0, 1.0)
    if recipe.flip in ("vertical", "both"):
        half_N2[:, 1] *= np.where(u[:, _UPSIDE_DOWN] < 0.5, -1.0, 1.0)
    if recipe.scale:
        half_N2 *= np.exp((2 * u[:, _ZOOM] - 1) * math.log(1 + recipe.scale / 100))[:, None]
    turn_N22 = np.tile(np.eye(2), (len(keys), 1, 1))
    shift_N2 = np.zeros((len(keys), 2))
    if recipe.rotation:
        turn_N22 = operations.turned((2 * u[:, _ANGLE] - 1) * math.radians(recipe.rotation))
    colour = erased = None
    if recipe.colour:
        colour = (1 + recipe.colour / 100 * (2 * u[:, _COLOURS] - 1)).astype(np.float32)
    operation_NL, strength_NL = _operations(recipe, u, image_size)
    for operation_N, strength_N in zip(operation_NL.T, strength_NL.T, strict=True):
        turn, shift = operations.move(operation_N, strength_N, image_size)
        # Read from the output back to the input: the last operation's map comes first.
        shift_N2 = shift_N2 + (turn_N22 @ shift[:, :, None])[:, :, 0]
        turn_N22 = turn_N22 @ turn
    if recipe.erasing:
        erased = rectangles(
            recipe.erasing,
            whether_N=u[:, _ERASE],
            area_NT=u[:, _ERASED_AREA],
            ratio_NT=u[:, _ERASED_RATIO],
            place_N2=u[:, _ERASED_PLACE],
            size=image_size,
        )
    affine = np.empty((len(keys), 2, 3))
    affine[:, :, :2] = half_N2[:, :, None] * turn_N22
    affine[:, :, 2] = half_N2 * shift_N2 + centre_N2
    drawn = operation_NL.shape[1] > 0
    return Draws(
        affine=affine.astype(np.float32),
        colour=colour,
        operation=operation_NL if drawn else None,
        strength=strength_NL.astype(np.float32) if drawn else None,
        erased=erased,
    )


def _operations(
    recipe: Recipe, u: NDArray[np.float64], image_size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which operations, one after the other, and how strong: [N, L] each."""
    pairs = u[:, _SEVERAL:].reshape(len(u), OPERATIONS_MOST, 2).swapaxes(1, 2)
    if recipe.operations == "trivialaugment":
        return operations.trivial(u[:, _OPERATION], image_size)
    if recipe.operations == "randaugment":
        return operations.random(pairs[:, :, : recipe.count], recipe.magnitude, image_size)
    if recipe.operations == "autoaugment":
        return operations.auto(u[:, _OPERATION.start], pairs[:, :, :2], image_size)
    return np.zeros((len(u), 0), dtype=np.int64), np.zeros((len(u), 0))


def _crop(
    percent: int,
    area_NT: NDArray[np.float64],
    ratio_NT: NDArray[np.float64],
    place_N2: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half sides and centres of the crops, [N, 2] each as (x, y).

    The first try that fits is taken, as torchvision's RandomResizedCrop does;
    when none does, the last one is cut to the image. Sides are real numbers here.
    """
    if percent == 0:
        return np.ones((len(place_N2), 2)), np.zeros((len(place_N2), 2))
    least = 1 - percent / 100
    area = least + (1.0 - least) * area_NT
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = np.exp(low + (high - low) * ratio_NT)
    sides = np.sqrt(np.stack((area * ratio, area / ratio), axis=-1))
    fits = sides.max(axis=-1) <= 1.0
    taken = np.where(fits.max(axis=1), fits.argmax(axis=1), sides.shape[1] - 1)
    half = np.minimum(sides[np.arange(len(sides)), taken], 1.0)
    return half, (1.0 - half) * (2.0 * place_N2 - 1.0)
