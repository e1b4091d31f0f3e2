"""Images that are kept on the trials' device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from search.backbones.info import Preprocessing
from search.training.config import POLICIES
from search.training.inputs import EVALUATION, Examples, Geometry, view
from search.training.recipe import RECIPES
from search.training.resident import SHARE, resident

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (9, 20, 20, 3), dtype=np.uint8)
IMAGES.setflags(write=False)  # as a mapped file is
PART = Examples(
    images=IMAGES,
    rows=np.array([7, 2, 5]),
    labels=np.array([0, 1, 0]),
    keys=np.array([3, 1, 4], dtype=np.uint64),
)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("number", [EVALUATION, 0, 3])
def test_a_view_of_resident_images_is_that_of_the_mapped_ones(policy: str, number: int) -> None:
    kept = resident(IMAGES, CPU, free=10**9)
    geometry = Geometry(
        image_size=16,
        preprocessing=Preprocessing(
            mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3), interpolation="bilinear", crop_ratio=1.0
        ),
        recipe=RECIPES.get(policy),
        augmentation_seed=5,
    )
    chosen = np.array([2, 0])
    mapped = view(PART, chosen, number, geometry, CPU)
    held = view(replace(PART, resident=kept), chosen, number, geometry, CPU)
    assert torch.equal(mapped, held)


def test_they_are_a_copy_in_order() -> None:
    kept = resident(IMAGES, CPU, free=10**9)
    assert kept is not None
    assert np.array_equal(kept.numpy(), IMAGES)


def test_images_beyond_their_share_of_what_is_free_stay_where_they_are() -> None:
    enough = int(IMAGES.nbytes / SHARE)
    assert resident(IMAGES, CPU, free=enough) is not None
    assert resident(IMAGES, CPU, free=enough - 10) is None


def test_images_that_are_decoded_when_asked_for_stay_where_they_are() -> None:
    class Decoded:
        shape, ndim = IMAGES.shape, 4

        def __len__(self) -> int:
            return len(IMAGES)

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            return IMAGES[rows]

        def expect(self, rows: np.ndarray) -> None:
            pass

    assert resident(Decoded(), CPU, free=10**9) is None
