"""Settings that do nothing beside the value of another: told of as every other is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.problems import Problem
from search.space import Loaded
from search.space.acting import acts_in, hold, words
from search.space.points import grid
from search.training.config import SETTINGS

Space = Callable[..., Loaded]
DEPTHS = "unfreeze_depth: {int: [0, 5]}"


def _told(loaded: Loaded) -> list[Problem]:
    return [each for each in loaded.warnings if "act" in each.fact]


_VIEWS = f"views acts only where {words(SETTINGS['views'], SETTINGS)}: write when: "
_WHOLE = "micro_batch does nothing here: it acts where it is less than batch_size"


@pytest.mark.parametrize(
    ("lines", "facts"),
    [
        pytest.param(
            "unfreeze_depth: 3\nbackbone_lr_scale: 0\nlayer_decay: {float: [0.5, 0.9]}",
            [
                "layer_decay does nothing here: it acts where unfreeze_depth is 2 or more, and "
                "not where backbone_lr_scale is 0"
            ],
            id="a_share_of_a_rate_of_0",
        ),
        pytest.param(
            "unfreeze_depth: 3\nbackbone_lr_scale: [0, 0.1, 0.5]\nlayer_decay: {float: [0.5, 1]}",
            [
                "layer_decay acts only where unfreeze_depth is 2 or more, and not where "
                "backbone_lr_scale is 0: write when: {backbone_lr_scale: {min: 0.1}}"
            ],
            id="a_share_of_a_rate_that_is_0_at_times",
        ),
        pytest.param(
            "unfreeze_depth: 3\nbackbone_lr_scale: {float: [0, 0.5]}\n"
            "layer_decay: {float: [0.5, 1]}",
            [],
            id="a_range_is_0_at_its_edge_alone",
        ),
        pytest.param(
            f"{DEPTHS}\nbackbone_lr_scale: {{float: [0, 0.5]}}\nlayer_decay: {{float: [0.5, 1]}}",
            [
                "backbone_lr_scale acts only where unfreeze_depth is 1 or more: write when: "
                "{unfreeze_depth: {min: 1}}",
                "layer_decay acts only where unfreeze_depth is 2 or more, and not where "
                "backbone_lr_scale is 0: write when: {unfreeze_depth: {min: 2}}",
            ],
            id="what_else_is_lacking_is_told_all_the_same",
        ),
        pytest.param(
            "optimiser: [adamw, sgd]\nunfreeze_depth: 3\n"
            "backbone_lr_scale: {choice: [0, 0.5], when: {optimiser: sgd}}\n"
            "layer_decay: {float: [0.5, 1]}",
            [],
            id="no_when_can_say_it_where_the_rate_has_its_default",
        ),
        pytest.param(
            "augmentation: custom\nerasing: 0\nflip: none\nviews: [1, 2]",
            [
                "views does nothing here: it acts where augmentation is not none, and not where "
                "augmentation is custom and rotation is -1 or 0 and scale is -1 or 0 and crop is "
                "-1 or 0 and colour is -1 or 0 and flip is policy or none and erasing is 0"
            ],
            id="views_that_are_all_the_same",
        ),
        pytest.param("augmentation: custom\nrotation: 15\nviews: [1, 2]", [], id="one_strength"),
        pytest.param(
            "augmentation: custom\nerasing: {float: [0, 0.5]}\nviews: [1, 2]",
            [],
            id="a_strength_that_is_varied",
        ),
        pytest.param(
            "augmentation: [light, custom]\nviews: {int: [1, 2]}",
            [_VIEWS + "{augmentation: light}"],
            id="views_of_a_policy_that_draws_nothing",
        ),
        pytest.param(
            "augmentation: [light, custom]\nflip: [none, both]\nviews: {int: [1, 2]}",
            [
                _VIEWS.replace("write when: ", "")
                + "write a domain for each of when: {augmentation: light} and when: "
                "{augmentation: [light, custom], flip: both}"
            ],
            id="views_of_a_policy_or_of_a_strength",
        ),
        pytest.param(
            "augmentation: [light, custom]\nflip: [none, both]\nviews: [{when: {augmentation: "
            "light}, int: [1, 2]}, {when: {augmentation: [light, custom], flip: both}, int: "
            "[1, 2]}]",
            [],
            id="views_as_that_says_it",
        ),
        pytest.param(
            "batch_size: [16, 32]\nmicro_batch: {int: [32, 64]}",
            ["micro_batch does nothing here: it acts where it is less than batch_size"],
            id="parts_that_are_no_smaller",
        ),
        pytest.param("micro_batch: [0, 32]", [_WHOLE], id="parts_of_the_default_batch"),
        pytest.param("micro_batch: 32", [_WHOLE], id="parts_that_are_the_whole"),
        pytest.param("micro_batch: [0, 16, 32]", [], id="parts_one_of_which_is_smaller"),
        pytest.param("micro_batch: 16\nbatch_size: [8, 32]", [], id="batches_one_of_which_is"),
        pytest.param("micro_batch: 0\nbatch_size: [8, 32]", [], id="no_parts"),
    ],
)
def test_what_is_said_of_a_setting_beside_another(
    lines: str, facts: list[str], space: Space
) -> None:
    assert [problem.fact for problem in _told(space(lines))] == facts


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("backbone_lr_scale: 0\nunfreeze_depth: 5\nlayer_decay: 0.5", id="decay"),
        pytest.param("batch_size: 16\nmicro_batch: 16", id="parts"),
        pytest.param("augmentation: custom\nviews: 2", id="views"),
    ],
)
def test_what_rests_is_warned_of_at_its_place_with_a_fix(lines: str, space: Space) -> None:
    (problem,) = _told(space(lines))
    name = lines.splitlines()[-1].partition(":")[0]
    assert (problem.level, problem.fix) == ("warning", f"remove {name}")
    assert problem.place is not None
    assert problem.place.line == len(lines.splitlines()) + 2
    assert problem.place.text[problem.place.column - 1 :].startswith(f"{name}:")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("layer_decay", f"{DEPTHS}\nbackbone_lr_scale: [0, 0.1, 0.5]"),
        ("layer_decay", f"{DEPTHS}\nbackbone_lr_scale: {{choice: [0, 1], when: {{lr: 0.1}}}}"),
        ("layer_decay", f"{DEPTHS}\nbackbone_lr_scale: {{float: [0, 1], steps: 3}}"),
        ("views", "augmentation: [none, light, custom]\nflip: [policy, both]\ncrop: [-1, 0, 5]"),
        ("views", "augmentation: [custom, light]\nrotation: {int: [-1, 3]}\nflip: none"),
        ("views", "augmentation: [none, custom]"),
        ("views", "augmentation: custom\nerasing: [0, 0.5]\ncolour: [0, 10]"),
    ],
)
def test_where_it_acts_in_a_space_is_where_it_acts_and_does_not_rest(
    name: str, lines: str, space: Space
) -> None:
    setting = SETTINGS[name]
    found = space(f"lr: [0.1, 0.2]\n{lines}\n{name}: [{setting.default}]").spec.space
    where = acts_in(setting, found, SETTINGS)
    assert where is not None
    defaults = {each: row.default for each, row in SETTINGS.items()}
    seen = set()
    for point in grid(found):
        whole = {**defaults, **point}
        acts = hold(setting.acts, whole) and not hold(setting.rests, whole)
        assert hold(where, whole) == acts, point
        seen.add(acts)
    assert False in seen
