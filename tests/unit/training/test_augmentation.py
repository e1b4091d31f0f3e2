"""The policies' distributions, from many draws."""

import math

import numpy as np
import pytest
from torchvision.transforms.v2 import TrivialAugmentWide

from search.training.augmentation import RATIO, Draws, draw
from search.training.operations import OPERATIONS, SIGNED, STRENGTHS, TRIED
from search.training.recipe import RECIPES

AREA = (0.4, 1.0)
ANGLE = 15.0
ZOOM = 1.15
COLOUR = 0.2

COUNT = 20_000
KEYS = np.arange(COUNT, dtype=np.uint64) * np.uint64(2_654_435_761)


def _draws(policy: str, view: int = 0) -> Draws:
    return draw(RECIPES[policy], seed=5, view=view, keys=KEYS, image_size=128)


def _sides(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Width and height of each crop as shares of the image; light only."""
    return np.abs(draws.affine[:, 0, 0]), draws.affine[:, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("policy", sorted(set(RECIPES) - {"custom"}))
def test_half_of_the_images_are_flipped(policy: str) -> None:
    draws = _draws(policy)
    flipped = np.linalg.det(draws.affine[:, :, :2].astype(float)) < 0
    # a strong shear or turn does not change the sign either
    assert abs(flipped.mean() - 0.5) < 0.02  # standard error .0035


def test_crops_have_the_stated_area_and_ratio_and_lie_inside() -> None:
    draws = _draws("light")
    width, height = _sides(draws)
    area, ratio = width * height, width / height
    assert AREA[0] - 1e-6 <= area.min()
    assert area.max() <= AREA[1]
    assert RATIO[0] - 1e-5 <= ratio.min()
    assert ratio.max() <= RATIO[1] + 1e-5
    # narrow crops of nearly the whole area do not fit and are drawn again
    assert 0.62 < area.mean() < 0.72
    assert abs(np.log(ratio).mean()) < 0.01
    for axis, side in enumerate((width, height)):
        assert (np.abs(draws.affine[:, axis, 2]) <= 1 - side + 1e-6).all()


def test_medium_turns_and_zooms_within_its_limits() -> None:
    draws, light = _draws("medium"), _draws("light")
    width, height = _sides(light)
    turned = draws.affine[:, :, :2] / np.stack((width, height), 1)[:, :, None]
    zoom = np.sqrt(np.abs(np.linalg.det(turned.astype(float))))
    angle = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 1, 1]))
    assert np.abs(angle).max() <= ANGLE + 1e-3
    assert np.abs(angle).max() > ANGLE - 0.1
    # uniform: standard deviation 15 / sqrt(3) = 8.66
    assert angle.std() == pytest.approx(ANGLE / math.sqrt(3), rel=0.02)
    assert abs(angle.mean()) < 0.3
    assert 1 / ZOOM - 1e-4 <= zoom.min() < 1 / ZOOM + 0.01
    assert ZOOM - 0.01 < zoom.max() <= ZOOM + 1e-4


def test_medium_changes_each_colour_property_evenly() -> None:
    colour = _draws("medium").colour
    assert colour is not None
    assert colour.shape == (COUNT, 3)
    assert (np.abs(colour - 1) <= COLOUR + 1e-6).all()
    assert np.abs(colour.mean(axis=0) - 1).max() < 0.005
    assert np.abs(np.corrcoef(colour.T)[~np.eye(3, dtype=bool)]).max() < 0.03


def test_heavy_picks_operations_and_strengths_as_trivialaugment_does() -> None:
    draws = _draws("heavy")
    assert draws.operation is not None
    assert draws.strength is not None
    counts = np.bincount(draws.operation[:, 0], minlength=TRIED)
    # 1428.6 expected of each of 14; chi-square with 13 degrees, 99.99 % below 42
    expected = COUNT / TRIED
    assert ((counts - expected) ** 2 / expected).sum() < 42
    space = TrivialAugmentWide._AUGMENTATION_SPACE
    assert tuple(space) == OPERATIONS[:TRIED]
    for number, (name, (strengths, signed)) in enumerate(space.items()):
        assert (name in SIGNED) == signed
        theirs = strengths(STRENGTHS, 128, 128)
        ours = draws.strength[draws.operation == number]
        if theirs is None:
            assert not ours.any()
            continue
        assert np.unique(np.abs(ours)) == pytest.approx(np.unique(theirs.numpy()), abs=1e-5)
        negative = (ours < 0).sum() / (ours != 0).sum()
        assert abs(negative - (0.5 if signed else 0)) < 0.06  # standard error .013


def test_a_view_depends_on_seed_image_and_number_and_on_nothing_else() -> None:
    whole = _draws("heavy", view=3)
    rows = np.array([19, 4, 11])
    some = draw(RECIPES["heavy"], seed=5, view=3, keys=KEYS[rows], image_size=128)
    assert np.array_equal(some.affine, whole.affine[rows])
    assert some.operation is not None
    assert whole.operation is not None
    assert np.array_equal(some.operation, whole.operation[rows])
    for changed in (
        draw(RECIPES["heavy"], seed=6, view=3, keys=KEYS[rows], image_size=128),
        draw(RECIPES["heavy"], seed=5, view=4, keys=KEYS[rows], image_size=128),
    ):
        assert not np.array_equal(changed.affine, some.affine)
