"""The learning rate over steps, the order of images, and their batches."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from search.training.schedule import (
    batches,
    epoch_order,
    fall_every,
    lr_factor,
    steps_per_epoch,
)
from search.training.settings.optimisation import LR_SCHEDULES
from tests.unit.training.tiny import CONFIG

STEPS = st.integers(1, 300)
WARMUP = st.floats(0, 0.9)
SCHEDULE = st.sampled_from(LR_SCHEDULES)


def factors(lr_schedule: str, *, steps: int, warmup: float = 0.0, **more: float) -> list[float]:
    """Of a trial with one step in each epoch."""
    config = replace(CONFIG, lr_schedule=lr_schedule, epochs=steps, warmup=warmup, **more)
    return [lr_factor(config, step, steps_in_epoch=1) for step in range(steps)]


@pytest.mark.parametrize(
    ("lr_schedule", "warmup", "expected"),
    [
        # (1 + cos(pi * step / 4)) / 2
        pytest.param(
            "cosine", 0.0, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2], id="cosine"
        ),
        pytest.param("linear", 0.0, [1, 0.75, 0.5, 0.25], id="linear"),
        # a third of 4 epochs, rounded up, is 2
        pytest.param("step", 0.0, [1, 1, 0.1, 0.1], id="step"),
        pytest.param("constant", 0.0, [1, 1, 1, 1], id="constant"),
        # down from 1 at step 0 to 1 / 250000 at step 3: cos(pi / 3) is a half
        pytest.param(
            "one_cycle", 0.0, [1, 0.75 + 1e-6, 0.25 + 3e-6, 4e-6], id="one_cycle_without_rise"
        ),
        # two of four steps rise
        pytest.param("cosine", 0.5, [1 / 3, 2 / 3, 1, 0.5], id="warm_up_then_cosine"),
        pytest.param("linear", 0.5, [1 / 3, 2 / 3, 1, 0.5], id="warm_up_then_linear"),
        pytest.param("constant", 0.5, [1 / 3, 2 / 3, 1, 1], id="warm_up_then_constant"),
        pytest.param("one_cycle", 0.5, [0.04, 0.52, 1, 4e-6], id="one_cycle"),
    ],
)
def test_factors_match_table(lr_schedule: str, warmup: float, expected: list[float]) -> None:
    assert factors(lr_schedule, steps=4, warmup=warmup) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        pytest.param(0.0, [1, 1, 0.5, 0.5, 0.25, 0.25], id="every_second_epoch"),
        pytest.param(1 / 6, [0.5, 1, 0.5, 0.5, 0.25, 0.25], id="whatever_the_warm_up"),
        # the fall at epoch 2 is within the warm-up: the rate reaches its peak after it
        pytest.param(0.5, [0.25, 0.5, 0.75, 1, 0.5, 0.5], id="not_in_the_warm_up"),
    ],
)
def test_steps_fall_at_whole_epochs(warmup: float, expected: list[float]) -> None:
    found = factors("step", steps=6, warmup=warmup, step_epochs=2, step_factor=0.5)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("epochs", "step_epochs", "every"), [(90, 0, 30), (10, 0, 4), (1, 0, 1), (10, 7, 7)]
)
def test_the_rate_falls_after_a_third_of_the_epochs_unless_told(
    epochs: int, step_epochs: int, every: int
) -> None:
    assert fall_every(replace(CONFIG, epochs=epochs, step_epochs=step_epochs)) == every


def test_an_epoch_of_many_steps_falls_as_a_whole() -> None:
    config = replace(CONFIG, lr_schedule="step", epochs=3, warmup=0.0)
    found = [lr_factor(config, step, steps_in_epoch=2) for step in range(6)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_warm_up_rises_in_equal_steps_to_one() -> None:
    found = factors("cosine", steps=10, warmup=0.4)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a > b for a, b in pairwise(found[4:]))


@pytest.mark.slow
@given(lr_schedule=SCHEDULE, steps=STEPS, warmup=WARMUP)
def test_the_rate_stays_above_zero_rises_to_its_peak_and_never_again(
    lr_schedule: str, steps: int, warmup: float
) -> None:
    found = factors(lr_schedule, steps=steps, warmup=warmup)
    assert min(found) > 0
    assert max(found) == 1.0
    peak = found.index(1.0)
    assert peak == min(round(warmup * steps), steps - 1)
    assert all(a < b for a, b in pairwise(found[: peak + 1]))
    assert all(a >= b for a, b in pairwise(found[peak:]))


@pytest.mark.slow
@given(lr_schedule=st.sampled_from(["cosine", "linear", "one_cycle"]), steps=STEPS, warmup=WARMUP)
def test_what_falls_all_the_time_ends_near_zero(
    lr_schedule: str, steps: int, warmup: float
) -> None:
    found = factors(lr_schedule, steps=steps, warmup=warmup)
    peak = found.index(1.0)
    assert all(a > b for a, b in pairwise(found[peak:]))
    if peak < steps - 1:
        assert found[-1] <= 1 / (steps - peak)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    lr_schedule=SCHEDULE, steps=st.integers(3, 60), share=st.floats(0, 0.9), gamma=st.floats(0.1, 1)
)
def test_rates_are_those_of_torch_where_it_defines_the_same(
    lr_schedule: str, steps: int, share: float, gamma: float
) -> None:
    rising = min(round(share * steps), steps - 2)
    if lr_schedule == "one_cycle":
        rising = max(rising, 1)  # torch divides by 0 without a rise
    if lr_schedule == "step":
        rising = 0  # torch's would count its epochs from the end of the warm-up
    every = max(1, steps // 4)
    found = factors(
        lr_schedule, steps=steps, warmup=rising / steps, step_epochs=every, step_factor=gamma
    )
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    left = steps - rising
    theirs: lr_scheduler.LRScheduler
    if lr_schedule == "one_cycle":
        theirs = lr_scheduler.OneCycleLR(
            sgd, 1.0, total_steps=steps, pct_start=(rising + 1) / steps, cycle_momentum=False
        )
    else:
        make = {
            "cosine": lambda: lr_scheduler.CosineAnnealingLR(sgd, left),
            "linear": lambda: lr_scheduler.LinearLR(sgd, 1.0, 0.0, left),
            "step": lambda: lr_scheduler.StepLR(sgd, every, gamma),
            "constant": lambda: lr_scheduler.ConstantLR(sgd, 1.0, left),
        }[lr_schedule]
        if rising == 0:
            theirs = make()
        else:
            rise = lr_scheduler.LinearLR(sgd, 1 / (rising + 1), 1.0, rising)
            theirs = lr_scheduler.SequentialLR(sgd, [rise, make()], [rising])
    expected = []
    for _ in range(steps):
        expected.append(sgd.param_groups[0]["lr"])
        sgd.step()
        if len(expected) < steps:
            theirs.step()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_step_beyond_the_end_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="step=4, steps=4"):
        lr_factor(replace(CONFIG, epochs=2), 4, steps_in_epoch=2)


def test_a_schedule_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such lr_schedule: sawtooth"):
        factors("sawtooth", steps=3)


@pytest.mark.slow
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
