"""A study without the backbones that cannot be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.space import Loaded
from search.space.domains import Branch, Choice, Condition, FloatRange
from search.space.narrow import narrow
from search.training.config import SETTINGS

SPACE = (
    "backbone: [resnet50, vit_b_16, convnext_tiny]\n"
    "unfreeze_depth: {choice: [0, 2], when: {backbone: vit_b_16}}\n"
    "lr: {float: [1e-4, 1e-2], when: {unfreeze_depth: {min: 1}}}\n"
    "weight_decay:\n"
    "  - {float: [1e-6, 1e-3], when: {backbone: [resnet50, vit_b_16]}}\n"
    "  - {float: [1e-5, 1e-1]}"
)


def test_with_every_backbone_nothing_changes(space: Callable[..., Loaded]) -> None:
    spec = space(SPACE).spec
    names = ["convnext_tiny", "resnet50", "vit_b_16", "alexnet"]
    assert narrow(spec, names, SETTINGS) == (spec, ())


def test_a_space_without_backbones_is_left_alone(space: Callable[..., Loaded]) -> None:
    spec = space("lr: [1, 2]").spec
    assert narrow(spec, [], SETTINGS) == (spec, ())


def test_what_only_a_lost_backbone_had_goes_with_it(space: Callable[..., Loaded]) -> None:
    first = "first: [default, {backbone: vit_b_16}, {backbone: convnext_tiny}]"
    spec, dropped = narrow(space(SPACE, first).spec, ["resnet50", "convnext_tiny"], SETTINGS)
    assert [param.name for param in spec.space.params] == ["backbone", "weight_decay"]
    assert spec.space["backbone"].branches[0].domain == Choice(
        choices=("resnet50", "convnext_tiny")
    )
    assert spec.space["weight_decay"].branches == (
        Branch(
            domain=FloatRange(low=1e-6, high=1e-3),
            when=(Condition(param="backbone", values=("resnet50",)),),
        ),
        Branch(domain=FloatRange(low=1e-5, high=1e-1)),
    )
    assert [dict(point)["backbone"] for point in spec.first] == ["resnet50", "convnext_tiny"]
    assert dropped[0] == "vit_b_16"
    assert dropped[1].startswith("first: {backbone: vit_b_16,")


def test_a_branch_that_another_now_always_precedes_goes_too(space: Callable[..., Loaded]) -> None:
    spec, _ = narrow(space(SPACE).spec, ["resnet50"], SETTINGS)
    assert [branch.domain for branch in spec.space["weight_decay"].branches] == [
        FloatRange(low=1e-6, high=1e-3)
    ]


def test_the_default_settings_take_the_first_backbone_left(space: Callable[..., Loaded]) -> None:
    spec, dropped = narrow(space(SPACE).spec, ["vit_b_16"], SETTINGS)
    assert dropped == ("resnet50", "convnext_tiny")
    assert spec.default_first
    # unfreeze_depth did not exist with resnet50; its default, 1, moves to the first choice.
    assert [dict(point) for point in spec.first] == [
        {"backbone": "vit_b_16", "unfreeze_depth": 0, "weight_decay": 1e-3}
    ]


def test_points_that_become_twins_are_tried_once(space: Callable[..., Loaded]) -> None:
    first = "first: [default, {backbone: vit_b_16}]"
    spec, _ = narrow(space("backbone: [resnet50, vit_b_16]", first).spec, ["vit_b_16"], SETTINGS)
    assert len(spec.first) == 1


def test_no_backbone_left_is_refused_by_name(space: Callable[..., Loaded]) -> None:
    with pytest.raises(ValueError, match="resnet50, vit_b_16, convnext_tiny"):
        narrow(space(SPACE).spec, ["alexnet"], SETTINGS)
