"""Views as pixels: against torchvision's kernels, and independent of the batch."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.transforms.v2 import AutoAugment, InterpolationMode
from torchvision.transforms.v2 import functional as vision

from search.backbones.info import Preprocessing
from search.training import warp
from search.training.augmentation import AUGMENTATION_VERSION, Draws
from search.training.inputs import EVALUATION, Examples, Geometry, view
from search.training.operations import OPERATIONS, move
from search.training.recipe import RECIPES, Recipe

SIDE = 80
SIZE = 64
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """16 crops of scikit-learn's photographs, [16, SIDE, SIDE, 3]."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        photo = load_sample_image(name)
        found += [photo[40 * i : 40 * i + SIDE, 60 * i : 60 * i + SIDE] for i in range(8)]
    return np.stack(found)


def _preprocessing(interpolation: Any = "bilinear", crop_ratio: float = 0.875) -> Preprocessing:
    return Preprocessing(
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        interpolation=interpolation,
        crop_ratio=crop_ratio,
    )


def _one_operation(images: Tensor, name: str, strength: float) -> Tensor:
    """``name`` on whole, unflipped images, through our sampler."""
    count, size = len(images), images.shape[1]
    operation = np.full(count, OPERATIONS.index(name))
    strengths = np.full(count, strength)
    turn, shift = move(operation, strengths, size)
    affine = np.concatenate([turn, shift[:, :, None]], axis=2).astype(np.float32)
    draws = Draws(
        affine=affine, operation=operation[:, None], strength=strengths[:, None].astype(np.float32)
    )
    return warp.augmented(images, draws, image_size=size)


def _theirs(images: Tensor, name: str, strength: float) -> Tensor:
    wide = AutoAugment(interpolation=InterpolationMode.BILINEAR)
    return wide._apply_image_or_video_transform(
        images.permute(0, 3, 1, 2).contiguous(),
        name,
        strength,
        interpolation=InterpolationMode.BILINEAR,
        fill={},
    ).float()


COLOUR_CASES = [
    *[
        (name, value)
        for name in ("Brightness", "Color", "Contrast", "Sharpness")
        for value in (-0.99, -0.4, 0.0, 0.99)
    ],
    *[("Posterize", float(bits)) for bits in (2, 5, 8)],
    *[("Solarize", value) for value in (0.0, 0.4, 1.0)],
    ("AutoContrast", 0.0),
    ("Equalize", 0.0),
    ("Invert", 0.0),
    ("Identity", 0.0),
]


@pytest.mark.parametrize(("name", "strength"), COLOUR_CASES)
def test_colour_operations_equal_torchvisions_within_a_level(
    photos: np.ndarray, name: str, strength: float
) -> None:
    images = torch.from_numpy(photos)
    ours, theirs = _one_operation(images, name, strength), _theirs(images, name, strength)
    assert (ours - theirs).abs().max() <= 1
    assert (ours != theirs).float().mean() < 0.02


@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("ShearX", 0.3),
        ("ShearY", -0.3),
        ("TranslateX", 9.7),
        ("TranslateY", -9.7),
        ("Rotate", 40.0),
        ("Rotate", -135.0),
    ],
)
def test_geometric_operations_move_pixels_where_torchvision_does(
    photos: np.ndarray, name: str, strength: float
) -> None:
    images = torch.from_numpy(photos)
    ours, theirs = _one_operation(images, name, strength), _theirs(images, name, strength)
    inside = _theirs(torch.full_like(images, 255), name, strength) == 255  # not their black
    assert inside.float().mean() > 0.5
    assert (ours - theirs)[inside].abs().max() <= 1.01


def test_what_comes_into_view_is_the_picture_mirrored(photos: np.ndarray) -> None:
    moved = _one_operation(torch.from_numpy(photos), "TranslateX", 10.0)
    original = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    assert torch.equal(moved[..., 10:], original[..., :-10])
    assert torch.equal(moved[..., :10], original[..., :10].flip(-1))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluation_is_pillows_centre_crop_and_resize(
    photos: np.ndarray, interpolation: str
) -> None:
    found = warp.evaluated(
        torch.from_numpy(photos), image_size=SIZE, preprocessing=_preprocessing(interpolation)
    )
    resample = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    for row, photo in enumerate(photos):  # crop of .875 x 80 = 70 pixels, 5 from each edge
        cut = Image.fromarray(photo).crop((5, 5, 75, 75))
        expected = np.asarray(cut.resize((SIZE, SIZE), resample[interpolation]), dtype=np.float32)
        assert np.abs(found[row].permute(1, 2, 0).numpy() - expected).max() <= 1


def test_a_crop_of_the_models_size_is_not_resized(photos: np.ndarray) -> None:
    found = warp.evaluated(
        torch.from_numpy(photos), image_size=SIZE, preprocessing=_preprocessing(crop_ratio=0.8)
    )
    assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), photos[:, 8:-8, 8:-8])


def test_normalisation_is_that_of_the_weights(photos: np.ndarray) -> None:
    images = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    expected = vision.normalize(images / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    found = warp.normalised(images.clone(), _preprocessing())
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_medium_colour_equals_torchvisions_where_nothing_is_cut_off(photos: np.ndarray) -> None:
    images = torch.from_numpy(photos // 2 + 64)
    identity = np.tile(np.eye(2, 3, dtype=np.float32), (16, 1, 1))
    colour = np.tile(np.array([[1.1, 0.85, 1.2]], dtype=np.float32), (16, 1))
    draws = Draws(affine=identity, colour=colour)
    found = warp.augmented(images, draws, image_size=SIDE)
    one = images.permute(0, 3, 1, 2).float() / 255
    expected = vision.adjust_saturation(
        vision.adjust_contrast(vision.adjust_brightness(one, 1.1), 0.85), 1.2
    )
    assert (found - 255 * expected).abs().max() < 0.1


def _examples(photos: np.ndarray) -> Examples:
    count = len(photos)
    return Examples(
        images=photos,
        rows=np.arange(count),
        labels=np.zeros(count, dtype=np.int64),
        keys=np.arange(100, 100 + count, dtype=np.uint64),
    )


def _geometry(recipe: Recipe | None, seed: int = 4) -> Geometry:
    return Geometry(
        image_size=SIZE, preprocessing=_preprocessing(), recipe=recipe, augmentation_seed=seed
    )


ALL = Recipe(rotation=30, scale=20, crop=30, flip="both", colour=40, erasing=0.5)
DRAWN = [
    *(pytest.param(recipe, id=name) for name, recipe in RECIPES.items() if name != "custom"),
    pytest.param(ALL, id="custom"),
]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [pytest.param(None, id="none"), *DRAWN])
def test_a_view_is_the_same_to_the_bit_in_any_company(
    photos: np.ndarray, recipe: Recipe | None
) -> None:
    data = _examples(photos)
    geometry = _geometry(recipe)
    for number in range(6):
        order = np.random.default_rng(number).permutation(16)
        whole = view(data, np.arange(16), number, geometry, CPU)
        mixed = view(data, order, number, geometry, CPU)
        assert torch.equal(mixed, whole[torch.from_numpy(order)])
        alone = view(data, np.repeat(order[:1], 16), number, geometry, CPU)
        assert torch.equal(alone[0], mixed[0])
        assert torch.equal(alone[15], mixed[0])


@pytest.mark.parametrize("recipe", DRAWN)
def test_views_differ_from_each_other_and_evaluation_draws_nothing(
    photos: np.ndarray, recipe: Recipe
) -> None:
    data, rows = _examples(photos), np.arange(16)
    geometry = _geometry(recipe)
    views = [view(data, rows, number, geometry, CPU) for number in range(3)]
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[1], views[2])
    plain = _geometry(None, seed=9)
    evaluated = view(data, rows, EVALUATION, geometry, CPU)
    assert torch.equal(evaluated, view(data, rows, 2, plain, CPU))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param("none", [-41.552, 1.212, -5.766], id="none"),
        pytest.param("light", [-38.338, 1.419, -4.859], id="light"),
        pytest.param("medium", [-33.185, -0.883, -3.675], id="medium"),
        pytest.param("heavy", [-50.998, 2.535, -7.988], id="heavy"),
        pytest.param("randaugment", [-19.272, 3.422, -7.127], id="randaugment"),
        pytest.param("autoaugment", [-30.696, 1.819, -13.390], id="autoaugment"),
    ],
)
def test_pixels_are_those_of_this_augmentation_version(
    photos: np.ndarray, policy: str, expected: list[float]
) -> None:
    # Stored features are of these pixels: where they change on purpose, raise the version.
    assert AUGMENTATION_VERSION == 1
    data = Examples(
        images=photos,
        rows=np.arange(16),
        labels=np.zeros(16, dtype=np.int64),
        keys=np.arange(1, 17, dtype=np.uint64) * np.uint64(2**59 + 1),
    )
    geometry = _geometry(RECIPES.get(policy), seed=5)
    images_BCHW = view(data, np.arange(16), 3, geometry, CPU).double()
    ramp = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    # brightness, and where it lies: left to right, top to bottom
    sums = [images_BCHW, images_BCHW * ramp, images_BCHW * ramp[:, None]]
    found = torch.stack([each.mean((1, 2, 3)) for each in sums])
    weights = torch.arange(1, 17, dtype=torch.float64)
    assert (found @ weights).tolist() == pytest.approx(expected, abs=0.02)


def test_several_operations_are_applied_one_after_the_other(photos: np.ndarray) -> None:
    images = torch.from_numpy(photos)
    names, strengths = ("Posterize", "Invert", "Solarize"), (3.0, 0.0, 0.5)
    count, size = len(photos), photos.shape[1]
    draws = Draws(
        affine=np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
        operation=np.tile([OPERATIONS.index(name) for name in names], (count, 1)),
        strength=np.tile(np.array(strengths, dtype=np.float32), (count, 1)),
    )
    theirs = images.permute(0, 3, 1, 2).contiguous()
    theirs = vision.solarize(vision.invert(vision.posterize(theirs, 3)), 127.5)
    assert torch.equal(warp.augmented(images, draws, image_size=size), theirs.float())


def test_an_erased_rectangle_is_torchvisions_and_nothing_else_changes(photos: np.ndarray) -> None:
    images = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    erased = np.zeros((16, 4), dtype=np.int64)
    erased[3], erased[5] = (4, 0, 76, 9), (70, 60, 10, 20)
    found = warp.erase(images.clone(), erased)
    for row, (top, left, height, width) in enumerate(erased.tolist()):
        expected = vision.erase(images[row], top, left, height, width, torch.zeros(3, 1, 1))
        assert torch.equal(found[row], expected)
    assert (found[3] == 0).float().mean() > 76 * 9 / 6400
    assert torch.equal(found[4], images[4])


def test_an_erased_view_is_the_view_but_for_its_rectangle(photos: np.ndarray) -> None:
    data, rows = _examples(photos), np.arange(16)
    whole = view(data, rows, 2, _geometry(RECIPES["medium"]), CPU)
    for probability, touched in ((0.5, range(1, 16)), (1.0, [16])):
        recipe = replace(RECIPES["medium"], erasing=probability)
        erased = view(data, rows, 2, _geometry(recipe), CPU)
        changed = (whole != erased).any(dim=1)
        assert (erased.movedim(1, -1)[changed] == 0).all()
        assert int(changed.any(dim=(1, 2)).sum()) in touched


@pytest.mark.parametrize(
    ("flip", "expected"),
    [
        pytest.param("none", {""}, id="none"),
        pytest.param("horizontal", {"", "h"}, id="horizontal"),
        pytest.param("vertical", {"", "v"}, id="vertical"),
        pytest.param("both", {"", "h", "v", "hv"}, id="both"),
    ],
)
def test_a_flip_mirrors_the_way_it_says_and_nothing_else(
    photos: np.ndarray, flip: str, expected: set[str]
) -> None:
    data, rows = _examples(photos), np.arange(16)
    geometry = _geometry(Recipe(flip=flip))
    plain = view(data, rows, 0, _geometry(Recipe()), CPU)
    found = set()
    for number in range(4):
        for row, image in enumerate(view(data, rows, number, geometry, CPU)):
            ways = {"": [], "h": [-1], "v": [-2], "hv": [-2, -1]}
            fits = [
                w for w, d in ways.items() if torch.allclose(image, plain[row].flip(d), atol=1e-4)
            ]
            assert len(fits) == 1
            found |= set(fits)
    assert found == expected


def test_a_custom_view_without_strengths_is_the_whole_square(photos: np.ndarray) -> None:
    geometry = _geometry(RECIPES["custom"])
    found = view(_examples(photos), np.arange(16), 7, replace(geometry, image_size=SIDE), CPU)
    images = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    assert torch.allclose(found, warp.normalised(images, _preprocessing()), atol=1e-4)
