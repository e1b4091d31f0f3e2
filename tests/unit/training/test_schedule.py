"""The learning rate over steps, the order of images, and their batches."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.training.schedule import batches, epoch_order, lr_factor, steps_per_epoch


def test_without_warm_up_the_rate_is_a_half_cosine() -> None:
    factors = [lr_factor(step, steps=4, warmup=0.0) for step in range(4)]
    # (1 + cos(pi * step / 4)) / 2
    assert factors == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])


def test_warm_up_rises_in_equal_steps_to_one() -> None:
    factors = [lr_factor(step, steps=10, warmup=0.4) for step in range(10)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a > b for a, b in pairwise(factors[4:]))


@given(steps=st.integers(1, 500), warmup=st.floats(0, 0.9))
def test_the_rate_stays_above_zero_and_reaches_its_peak_once(steps: int, warmup: float) -> None:
    factors = [lr_factor(step, steps=steps, warmup=warmup) for step in range(steps)]
    assert min(factors) > 0
    assert factors.count(1.0) == 1
    assert max(factors) == 1.0


def test_a_step_beyond_the_end_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="step=4, steps=4"):
        lr_factor(4, steps=4, warmup=0.1)


@given(images=st.integers(1, 300), size=st.integers(1, 64))
def test_batches_cover_every_image_once_and_leave_none_alone(images: int, size: int) -> None:
    slices = list(batches(images, size))
    assert [row for part in slices for row in range(part.start, part.stop)] == list(range(images))
    assert len(slices) == steps_per_epoch(images, size)
    if size > 1 and images > 1:
        assert min(part.stop - part.start for part in slices) > 1


@pytest.mark.parametrize(
    ("images", "size", "expected"),
    [
        pytest.param(9, 4, [4, 5], id="lone_image_joins"),
        pytest.param(10, 4, [4, 4, 2], id="partial_batch_stays"),
        pytest.param(3, 1, [1, 1, 1], id="batches_of_one"),
        pytest.param(3, 8, [3], id="fewer_than_a_batch"),
        pytest.param(1, 8, [1], id="one_image"),
    ],
)
def test_batch_sizes_match_table(images: int, size: int, expected: list[int]) -> None:
    assert [part.stop - part.start for part in batches(images, size)] == expected


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert np.array_equal(epoch_order(1, 2, 30), epoch_order(1, 2, 30))
    assert not np.array_equal(epoch_order(1, 2, 30), epoch_order(1, 3, 30))
    assert not np.array_equal(epoch_order(1, 2, 30), epoch_order(2, 2, 30))
