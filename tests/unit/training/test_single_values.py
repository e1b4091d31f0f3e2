"""Batch-norm that would be trained on one value of each channel: told before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from search.backbones.stages import build
from search.training.config import TrialConfig
from search.training.faults import SingleValues
from search.training.single_values import sees_single_values

Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]

SAID = (
    "batch_size is 1, and batch-norm of mobilenet_v3_small has one value of each channel in an "
    "image of 32 px, of which it has no spread: batch_size: 2 or more"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "start", "expected"),
    [
        pytest.param("resnet18", 32, 4, True, id="a_map_of_one_pixel"),
        pytest.param("resnet18", 64, 0, False, id="a_map_of_four"),
        pytest.param("resnet18", 32, 5, False, id="in_a_frozen_block"),
        pytest.param("vit_b_16", 32, 0, False, id="no_batch_norm", marks=pytest.mark.slow),
        pytest.param("timm:resnet18.a1_in1k", 32, 4, True, id="timms_own_layers"),
        pytest.param("timm:skresnet18", 64, 4, True, id="behind_a_pooling_at_any_size"),
    ],
)
def test_one_value_of_a_channel_is_seen_by_trained_batch_norm(
    name: str, size: int, start: int, expected: bool
) -> None:
    staged = build(name, classes=3, image_size=size, dropout=0.0, state=None, seed=0)
    before = {key: tensor.clone() for key, tensor in staged.model.state_dict().items()}
    assert sees_single_values(staged, start, image_size=size) == expected
    after = staged.model.state_dict()
    assert all(tensor.equal(after[key]) for key, tensor in before.items())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="partial"),
        pytest.param({"micro_batch": 4}, id="micro_batch_is_no_cause"),
        pytest.param({"finetune": "gradual"}, id="in_a_later_phase"),
        pytest.param({"unfreeze_depth": 0, "batch_norm": "train"}, id="frozen_that_moves"),
    ],
)
def test_a_batch_of_one_that_cannot_be_trained_is_named_before_the_first_step(
    changes: dict[str, Any], other: Other, curve: Curve
) -> None:
    shown: list[object] = []
    with pytest.raises(SingleValues) as raised:
        curve(other(batch_size=1, **changes), show=lambda *told: shown.append(told))
    assert str(raised.value) == SAID
    assert raised.value.reason == "error"
    assert not shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"unfreeze_depth": 0}, id="the_head_alone"),
        pytest.param({"image_size": 64}, id="four_values", marks=pytest.mark.slow),
        pytest.param({"finetune": "gradual", "unfreeze_every": 9}, id="a_phase_that_does_not_come"),
    ],
)
def test_a_batch_of_one_that_can_be_trained_is(
    changes: dict[str, Any], other: Other, curve: Curve
) -> None:
    notes: list[str] = []
    assert len(curve(other(batch_size=1, epochs=1, **changes), note=notes.append)) == 1
    assert not notes


@pytest.mark.slow
def test_parts_of_one_are_parts_of_two_where_one_cannot_be_trained_and_that_is_said(
    other: Other, curve: Curve
) -> None:
    notes: list[str] = []
    found = curve(other(micro_batch=1, epochs=1), note=notes.append)
    assert notes == [
        "micro_batch is 1, and batch-norm of mobilenet_v3_small has one value of each channel in "
        "an image of 32 px, of which it has no spread: 2 images go through at once"
    ]
    assert found == curve(other(micro_batch=2, epochs=1))
    quiet: list[str] = []
    alone = other(micro_batch=1, epochs=1, unfreeze_depth=0)
    assert len(curve(alone, note=quiet.append)) == 1
    assert not quiet
