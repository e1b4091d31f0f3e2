"""Values, nearness, the default point and the grid."""

from __future__ import annotations

import math

import pytest

from search.space.domains import (
    Branch,
    Choice,
    Condition,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    Param,
    Space,
)
from search.space.points import (
    Moved,
    check_point,
    contains,
    default_point,
    grid,
    grid_size,
    nearest,
    values,
    values_of,
)
from search.space.settings import Value
from search.training.config import SETTINGS

DEPTH = Param(name="unfreeze_depth", branches=(Branch(domain=IntRange(low=0, high=2)),))
SCALE = Param(
    name="backbone_lr_scale",
    branches=(
        Branch(domain=Choice(choices=(0.1, 0.3)), when=(Condition(param="unfreeze_depth", min=1),)),
    ),
)
SPACE = Space(params=(DEPTH, SCALE))


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        pytest.param(Fixed(value=3), [3], id="fixed"),
        pytest.param(Choice(choices=("a", "b")), ["a", "b"], id="choice"),
        pytest.param(IntRange(low=1, high=7, step=3), [1, 4, 7], id="int"),
        pytest.param(FloatRange(low=0.0, high=1.0, steps=3), [0.0, 0.5, 1.0], id="steps"),
        pytest.param(
            FloatRange(low=1e-4, high=1e-2, log=True, steps=3), [1e-4, 1e-3, 1e-2], id="log_steps"
        ),
        pytest.param(FloatRange(low=0.5, high=0.5), [0.5], id="one_point"),
        pytest.param(FloatRange(low=0.0, high=1.0), None, id="continuous"),
    ],
)
def test_a_domain_lists_its_values(domain: Domain, expected: list[Value] | None) -> None:
    found = values(domain)
    assert (None if found is None else list(found)) == expected


@pytest.mark.parametrize(
    ("domain", "wanted", "expected"),
    [
        pytest.param(Fixed(value=3), 5, 3, id="fixed"),
        pytest.param(Choice(choices=(16, 64)), 64, 64, id="choice_has_it"),
        pytest.param(Choice(choices=(16, 64)), 60, 16, id="choice_first"),
        pytest.param(Choice(choices=(1, 2)), True, 1, id="true_is_not_1"),
        pytest.param(IntRange(low=2, high=8), 1, 2, id="int_below"),
        pytest.param(IntRange(low=2, high=8), 9, 8, id="int_above"),
        pytest.param(IntRange(low=2, high=8, step=3), 4, 5, id="int_step"),
        pytest.param(IntRange(low=0, high=4, step=2), 1, 0, id="int_tie_is_lower"),
        pytest.param(FloatRange(low=0.1, high=0.5), 0.2, 0.2, id="float_inside"),
        pytest.param(FloatRange(low=0.1, high=0.5), 1, 0.5, id="float_above"),
        pytest.param(FloatRange(low=0.0, high=1.0, steps=3), 0.7, 0.5, id="float_steps"),
        pytest.param(
            FloatRange(low=1e-4, high=1.0, log=True, steps=5), 0.02, 0.01, id="float_log_steps"
        ),
    ],
)
def test_the_nearest_value_is_taken(domain: Domain, wanted: Value, expected: Value) -> None:
    found = nearest(domain, wanted)
    assert found == pytest.approx(expected)
    assert contains(domain, found)


@pytest.mark.parametrize(
    ("domain", "value", "inside"),
    [
        (IntRange(low=0, high=4, step=2), 3, False),
        (IntRange(low=0, high=4), True, False),
        (IntRange(low=0, high=4), 2.0, False),
        (FloatRange(low=0.0, high=0.3, steps=4), 0.1, True),
        (FloatRange(low=0.0, high=0.3, steps=4), 0.1001, False),
        (FloatRange(low=0.0, high=0.3), "0.1", False),
        (FloatRange(low=0.0, high=0.3), math.nan, False),
        (Choice(choices=(1, 2)), True, False),
        (Choice(choices=(1, 2)), 1.0, True),
    ],
)
def test_a_domain_contains_its_values_only(domain: Domain, value: Value, inside: bool) -> None:
    assert contains(domain, value) is inside


def test_the_default_point_is_active_and_says_what_moved() -> None:
    space = Space(params=(Param(name="lr", branches=(Branch(domain=Choice(choices=(1.0,))),)),))
    done = default_point(space, SETTINGS)
    assert dict(done.point) == {"lr": 1.0}
    assert done.moved == (Moved(name="lr", wanted=1e-3, used=1.0),)
    assert dict(default_point(SPACE, SETTINGS).point) == {
        "unfreeze_depth": 1,
        "backbone_lr_scale": 0.1,
    }


@pytest.mark.parametrize(
    ("point", "reasons"),
    [
        ({"unfreeze_depth": 0}, []),
        ({"unfreeze_depth": 1, "backbone_lr_scale": 0.3}, []),
        ({"unfreeze_depth": 1}, ["backbone_lr_scale is missing"]),
        ({"unfreeze_depth": 0, "backbone_lr_scale": 0.3}, ["backbone_lr_scale is inactive here"]),
        ({"unfreeze_depth": 7, "backbone_lr_scale": 0.1}, ["unfreeze_depth: 7 is outside"]),
        ({"unfreeze_depth": 0, "lr": 1.0}, ["lr is not in the space"]),
    ],
)
def test_a_point_outside_is_told_why(point: dict[str, Value], reasons: list[str]) -> None:
    assert check_point(SPACE, point) == reasons


def test_the_grid_is_every_distinct_active_point() -> None:
    assert list(grid(SPACE)) == [
        {"unfreeze_depth": 0},
        {"unfreeze_depth": 1, "backbone_lr_scale": 0.1},
        {"unfreeze_depth": 1, "backbone_lr_scale": 0.3},
        {"unfreeze_depth": 2, "backbone_lr_scale": 0.1},
        {"unfreeze_depth": 2, "backbone_lr_scale": 0.3},
    ]
    assert len(list(grid(SPACE, 2))) == 2
    assert grid_size(SPACE, 100) == 5
    assert grid_size(SPACE, 3) == 3


def test_a_grid_of_a_continuous_float_is_refused_by_name() -> None:
    domain = FloatRange(low=0.0, high=1.0)
    space = Space(params=(Param(name="lr", branches=(Branch(domain=domain),)),))
    with pytest.raises(ValueError, match="lr is continuous"):
        list(grid(space))
    with pytest.raises(ValueError, match="lr is continuous"):
        values_of(space["lr"])


def test_values_of_a_param_are_those_of_all_its_branches_once() -> None:
    branches = (
        Branch(domain=Choice(choices=(8, 16)), when=(Condition(param="views", values=(1,)),)),
        Branch(domain=Choice(choices=(16, 32))),
    )
    assert values_of(Param(name="batch_size", branches=branches)) == (8, 16, 32)
