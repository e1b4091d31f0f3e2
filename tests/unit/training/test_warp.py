"""Views as pixels: against torchvision's kernels, and independent of the batch."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, TrivialAugmentWide
from torchvision.transforms.v2 import functional as vision

from search.backbones.info import Preprocessing
from search.training import warp
from search.training.augmentation import AUGMENTATION_VERSION, OPERATIONS, Draws, move
from search.training.inputs import EVALUATION, Examples, Geometry, view

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
    """TrivialAugment's ``name`` on whole, unflipped images, through our sampler."""
    count, size = len(images), images.shape[1]
    operation = np.full(count, OPERATIONS.index(name))
    strengths = np.full(count, strength)
    turn, shift = move(operation, strengths, size)
    affine = np.concatenate([turn, shift[:, :, None]], axis=2).astype(np.float32)
    draws = Draws(
        affine=affine, colour=None, operation=operation, strength=strengths.astype(np.float32)
    )
    return warp.augmented(images, draws, image_size=size)


def _theirs(images: Tensor, name: str, strength: float) -> Tensor:
    wide = TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
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
    draws = Draws(affine=identity, colour=colour, operation=None, strength=None)
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


@pytest.mark.parametrize("policy", ["none", "light", "medium", "heavy"])
def test_a_view_is_the_same_to_the_bit_in_any_company(photos: np.ndarray, policy: str) -> None:
    data = _examples(photos)
    geometry = Geometry(
        image_size=SIZE, preprocessing=_preprocessing(), policy=policy, augmentation_seed=4
    )
    for number in range(6):
        order = np.random.default_rng(number).permutation(16)
        whole = view(data, np.arange(16), number, geometry, CPU)
        mixed = view(data, order, number, geometry, CPU)
        assert torch.equal(mixed, whole[torch.from_numpy(order)])
        alone = view(data, np.repeat(order[:1], 16), number, geometry, CPU)
        assert torch.equal(alone[0], mixed[0])
        assert torch.equal(alone[15], mixed[0])


@pytest.mark.parametrize("policy", ["light", "medium", "heavy"])
def test_views_differ_from_each_other_and_evaluation_draws_nothing(
    photos: np.ndarray, policy: str
) -> None:
    data, rows = _examples(photos), np.arange(16)
    geometry = Geometry(
        image_size=SIZE, preprocessing=_preprocessing(), policy=policy, augmentation_seed=4
    )
    views = [view(data, rows, number, geometry, CPU) for number in range(3)]
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[1], views[2])
    plain = Geometry(
        image_size=SIZE, preprocessing=_preprocessing(), policy="none", augmentation_seed=9
    )
    evaluated = view(data, rows, EVALUATION, geometry, CPU)
    assert torch.equal(evaluated, view(data, rows, 2, plain, CPU))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param("none", [-41.552, 1.212, -5.766], id="none"),
        pytest.param("light", [-38.338, 1.419, -4.859], id="light"),
        pytest.param("medium", [-33.185, -0.883, -3.675], id="medium"),
        pytest.param("heavy", [-50.998, 2.535, -7.988], id="heavy"),
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
    geometry = Geometry(
        image_size=SIZE, preprocessing=_preprocessing(), policy=policy, augmentation_seed=5
    )
    images_BCHW = view(data, np.arange(16), 3, geometry, CPU).double()
    ramp = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    # brightness, and where it lies: left to right, top to bottom
    sums = [images_BCHW, images_BCHW * ramp, images_BCHW * ramp[:, None]]
    found = torch.stack([each.mean((1, 2, 3)) for each in sums])
    weights = torch.arange(1, 17, dtype=torch.float64)
    assert (found @ weights).tolist() == pytest.approx(expected, abs=0.02)
