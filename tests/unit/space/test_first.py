"""Points that are tried before sampling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.space import Loaded

SPACE = (
    "unfreeze_depth: {int: [0, 4], step: 2}\n"
    "backbone_lr_scale: {float: [0.2, 0.5], when: {unfreeze_depth: {min: 1}}}\n"
    "augmentation: [medium, heavy]\n"
    "lr: {float: [1e-4, 1e-2], log: true, steps: 3}"
)
DEFAULT = {"unfreeze_depth": 0, "augmentation": "medium", "lr": 1e-3}


def firsts(loaded: Loaded) -> list[dict[str, object]]:
    return [dict(point) for point in loaded.spec.first]


def test_without_the_key_the_default_settings_are_tried(space: Callable[..., Loaded]) -> None:
    loaded = space(SPACE)
    assert firsts(loaded) == [DEFAULT]
    assert loaded.spec.default_first


def test_defaults_that_the_space_excludes_move_and_are_said(space: Callable[..., Loaded]) -> None:
    # unfreeze_depth 1 lies between 0 and 2: the lower one.
    assert [warning.fact for warning in space(SPACE).warnings] == [
        "the default of unfreeze_depth, 1, is not in the space: 0 is used",
        "the default of augmentation, light, is not in the space: medium is used",
    ]


def test_an_empty_list_tries_nothing_first(space: Callable[..., Loaded]) -> None:
    loaded = space(SPACE, "first: []")
    assert (firsts(loaded), loaded.spec.default_first) == ([], False)
    assert loaded.warnings == ()


def test_the_default_comes_first_wherever_it_is_listed(space: Callable[..., Loaded]) -> None:
    loaded = space(SPACE, "first: [{augmentation: heavy}, default]")
    assert firsts(loaded) == [DEFAULT, {**DEFAULT, "augmentation": "heavy"}]
    assert loaded.spec.default_first


def test_points_without_the_default_leave_it_out(space: Callable[..., Loaded]) -> None:
    loaded = space(SPACE, "first: [{augmentation: heavy}]")
    assert firsts(loaded) == [{**DEFAULT, "augmentation": "heavy"}]
    assert not loaded.spec.default_first


def test_missing_keys_take_their_defaults_where_they_exist(space: Callable[..., Loaded]) -> None:
    loaded = space(SPACE, "first: [{unfreeze_depth: 4}]")
    assert firsts(loaded) == [{**DEFAULT, "unfreeze_depth": 4, "backbone_lr_scale": 0.2}]


def test_a_point_that_comes_twice_is_tried_once(space: Callable[..., Loaded]) -> None:
    loaded = space(SPACE, "first: [default, {lr: 1e-3}, {}]")
    assert firsts(loaded) == [DEFAULT]
    assert [w.fact for w in loaded.warnings if "listed before" in w.fact] == [
        "this point is listed before; it is tried once"
    ] * 2


def test_the_default_of_a_setting_outside_the_space_may_be_named(
    space: Callable[..., Loaded],
) -> None:
    assert firsts(space("lr: [1e-3, 1e-2]", "first: [{dropout: 0.2}]")) == [{"lr": 1e-3}]


def test_a_value_on_a_step_is_that_step(space: Callable[..., Loaded]) -> None:
    (point,) = firsts(space("dropout: {float: [0, 0.3], steps: 4}", "first: [{dropout: 0.1}]"))
    assert point == {"dropout": pytest.approx(0.1)}
