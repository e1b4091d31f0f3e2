"""A setting does something exactly where its row says so: the code that reads it agrees."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import product

import pytest
import torch

from search.backbones.stages import Staged, build
from search.space.acting import hold
from search.space.settings import Value
from search.space.spec import LOSSES_OF, TASKS
from search.training.config import SETTINGS, TrialConfig, trial_config
from search.training.head import head_of
from search.training.optimiser import optimiser
from search.training.phases import depth_at
from search.training.rates import peak_rates
from search.training.recipe import Recipe, recipe_of
from search.training.schedule import lr_factor
from search.training.task_losses import loss_for
from search.training.trained import moves_frozen

Reading = Callable[[TrialConfig], Hashable]
EPOCHS = 8


def _depths(config: TrialConfig) -> Hashable:
    return tuple(depth_at(config, epoch) for epoch in range(1, EPOCHS + 1))


def _rates(config: TrialConfig) -> Hashable:
    return tuple(peak_rates(config).items())


def _factors(config: TrialConfig) -> Hashable:
    return tuple(lr_factor(config, step, steps_in_epoch=2) for step in range(2 * EPOCHS))


def _views(config: TrialConfig) -> Hashable:
    return config.views


def _losses(config: TrialConfig) -> Hashable:
    """Of every task that the loss is one of."""
    targets = {
        "multiclass": torch.tensor([0]),
        "multilabel": torch.tensor([[1.0, 0.0, 1.0]]),
        "regression": torch.tensor([[-3.0, 0.0, 3.0]]),
    }
    outputs_BK = torch.tensor([[1.0, -1.0, 0.5]])
    return tuple(
        float(loss_for(task, config)(outputs_BK, targets[task]))
        for task in TASKS
        if config.loss in ("auto", *LOSSES_OF[task])
    )


def _config(**values: Value) -> TrialConfig:
    return trial_config(
        {"backbone": "mobilenet_v3_small", **values},
        own_size={"mobilenet_v3_small": 32},
        epochs=EPOCHS,
        seed=0,
        augmentation_seed=0,
    )


CASES: dict[str, tuple[tuple[Value, Value], Reading]] = {
    "finetune": (("partial", "gradual"), _depths),
    "head_epochs": ((1, 3), _depths),
    "unfreeze_every": ((1, 2), _depths),
    "backbone_lr_scale": ((0.1, 0.5), _rates),
    "layer_decay": ((1.0, 0.5), _rates),
    "step_epochs": ((1, 2), _factors),
    "step_factor": ((0.1, 0.5), _factors),
    "head_hidden": ((0, 128), head_of),
    "focal_gamma": ((1.0, 3.0), _losses),
    "huber_delta": ((0.5, 2.0), _losses),
    "views": ((1, 2), _views),
    "randaugment_operations": ((1, 3), recipe_of),
    "randaugment_magnitude": ((5, 15), recipe_of),
    "rotation": ((-1, 45), recipe_of),
    "scale": ((-1, 45), recipe_of),
    "crop": ((-1, 45), recipe_of),
    "flip": (("policy", "vertical"), recipe_of),
    "colour": ((-1, 45), recipe_of),
    "erasing": ((0.0, 0.5), recipe_of),
}
"""Two values of a setting, and what reads it."""
ELSEWHERE = {"momentum", "batch_norm", "stochastic_depth", "head_init"}
"""What is read where a model is; the last two have a file each."""


def test_every_setting_with_a_condition_is_looked_at() -> None:
    assert {name for name, row in SETTINGS.items() if row.acts} == set(CASES) | ELSEWHERE


def _points(name: str) -> list[dict[str, Value]]:
    """All combinations of what decides whether a setting acts."""
    deciding = {condition.param for group in SETTINGS[name].acts for condition in group}
    listed = []
    for each in sorted(deciding):
        row = SETTINGS[each]
        listed.append([(each, value) for value in row.choices or range(int(row.high or 0) + 1)])
    return [dict(pairs) for pairs in product(*listed)]


@pytest.mark.parametrize("name", CASES)
def test_it_changes_what_is_read_exactly_where_it_acts(name: str) -> None:
    (one, other), reading = CASES[name]
    points = _points(name)
    acts = [hold(SETTINGS[name].acts, point) for point in points]
    assert len(points) >= 2
    assert set(acts) == {True, False}
    for point, expected in zip(points, acts, strict=True):
        first, second = (reading(_config(**{**point, name: value})) for value in (one, other))
        assert (first != second) == expected, point


def _settings_that_rest() -> set[str]:
    return {name for name, row in SETTINGS.items() if row.rests or row.below}


def test_every_setting_that_rests_is_looked_at() -> None:
    assert _settings_that_rest() == {"layer_decay", "views", "micro_batch"}


@pytest.mark.parametrize("scale", [0.0, 1e-6, 0.1])
def test_decay_of_a_rate_rests_where_the_rate_is_0(scale: float) -> None:
    point: dict[str, Value] = {"unfreeze_depth": 5, "backbone_lr_scale": scale}
    one, other = (_rates(_config(**point, layer_decay=value)) for value in (1.0, 0.5))
    assert (one == other) == hold(SETTINGS["layer_decay"].rests, point)


def test_views_rest_where_a_policy_draws_nothing() -> None:
    deciding = SETTINGS["views"].rests[0]
    tried: dict[str, tuple[Value, ...]] = {
        "augmentation": ("light", "randaugment", "custom"),
        "flip": ("policy", "none", "vertical"),
        "erasing": (0.0, 0.1),
    }
    values = [tried.get(each.param, (-1, 0, 1)) for each in deciding]
    points = [
        dict(zip((each.param for each in deciding), point, strict=True))
        for point in product(*values)
    ]
    assert len(points) == 3 * 3**4 * 3 * 2
    for point in points:
        drawn = recipe_of(_config(**point))
        # A policy of its own whose strengths are all 0 is left out: nobody writes that.
        if point["augmentation"] != "light":
            assert (drawn == Recipe()) == hold(SETTINGS["views"].rests, point), point


@pytest.mark.parametrize("batch_size", [8, 16])
def test_parts_rest_where_they_are_no_smaller_than_the_batch(batch_size: int) -> None:
    for micro_batch in (1, 7, 8, 15, 16, 17):
        config = _config(batch_size=batch_size, micro_batch=micro_batch)
        assert (config.at_once == batch_size) == (micro_batch >= batch_size)


@pytest.fixture(scope="module")
def staged() -> Staged:
    return build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.0, state=None, seed=0)


def test_momentum_is_the_optimisers_with_sgd_alone(staged: Staged) -> None:
    for point in _points("momentum"):
        groups = optimiser(staged, _config(**point, momentum=0.5)).param_groups
        assert any("momentum" in group for group in groups) == hold(
            SETTINGS["momentum"].acts, point
        )


def test_statistics_of_frozen_blocks_move_where_any_are_frozen_in_some_epoch(
    staged: Staged,
) -> None:
    for point in _points("batch_norm"):
        config = _config(**point, batch_norm="train")
        moves = any(
            moves_frozen(staged, config, depth_at(config, epoch)) for epoch in range(1, EPOCHS + 1)
        )
        assert moves == hold(SETTINGS["batch_norm"].acts, point), point
