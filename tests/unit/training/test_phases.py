"""How many blocks are trained when, and how fast: tables and laws."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.backbones.stages import BLOCKS, HEAD
from search.training import rates
from search.training.config import TrialConfig
from search.training.phases import (
    Unfreezing,
    depth_at,
    depths,
    first_at,
    full_depth_epoch,
    full_depth_of,
)
from search.training.rates import peak_rates

STRATEGY = st.builds(
    Unfreezing,
    finetune=st.sampled_from(["partial", "head_then_partial", "gradual"]),
    unfreeze_depth=st.integers(0, 5),
    head_epochs=st.integers(1, 6),
    unfreeze_every=st.integers(1, 6),
)


@pytest.mark.parametrize(
    ("finetune", "depth", "more", "expected"),
    [
        pytest.param("partial", 2, {}, (2, 2, 2, 2, 2, 2), id="partial"),
        pytest.param("head_then_partial", 2, {}, (0, 2, 2, 2, 2, 2), id="head_first"),
        pytest.param(
            "head_then_partial", 3, {"head_epochs": 4}, (0, 0, 0, 0, 3, 3), id="four_of_the_head"
        ),
        pytest.param("head_then_partial", 0, {}, (0, 0, 0, 0, 0, 0), id="head_alone_for_ever"),
        pytest.param("gradual", 3, {}, (0, 1, 2, 3, 3, 3), id="a_block_an_epoch"),
        pytest.param("gradual", 2, {"unfreeze_every": 2}, (0, 0, 1, 1, 2, 2), id="every_second"),
        pytest.param("gradual", 5, {"unfreeze_every": 9}, (0, 0, 0, 0, 0, 0), id="too_slow"),
    ],
)
def test_depths_match_table(
    finetune: str,
    depth: int,
    more: dict[str, int],
    expected: tuple[int, ...],
    other: Callable[..., TrialConfig],
) -> None:
    config = other(finetune=finetune, unfreeze_depth=depth, **more)
    assert tuple(depth_at(config, epoch) for epoch in range(1, 7)) == expected
    assert depths(config, 6) == tuple(sorted(set(expected)))


@given(strategy=STRATEGY, epoch=st.integers(1, 40))
def test_depth_never_falls_and_the_full_one_is_reached_at_its_epoch_not_before(
    strategy: Unfreezing, epoch: int
) -> None:
    assert 0 <= depth_at(strategy, epoch) <= depth_at(strategy, epoch + 1)
    full = full_depth_epoch(strategy)
    assert depth_at(strategy, full) == strategy.unfreeze_depth
    assert full == 1 or depth_at(strategy, full - 1) < strategy.unfreeze_depth
    for depth in range(strategy.unfreeze_depth + 1):
        first = first_at(strategy, depth)
        assert depth_at(strategy, first) >= depth
        assert first == 1 or depth_at(strategy, first - 1) < depth


def test_the_epoch_of_a_points_settings_is_that_of_its_trial() -> None:
    values = {"finetune": "gradual", "unfreeze_depth": 3, "head_epochs": 9, "unfreeze_every": 2}
    assert full_depth_of(values) == 7  # 0 in 1-2, 1 in 3-4, 2 in 5-6, 3 from 7
    assert full_depth_of({**values, "finetune": "head_then_partial"}) == 10
    assert full_depth_of({**values, "finetune": "partial"}) == 1


def test_epochs_and_depths_that_are_none_are_refused_by_name(
    other: Callable[..., TrialConfig],
) -> None:
    with pytest.raises(ValueError, match="epoch=0"):
        depth_at(other(), 0)
    with pytest.raises(ValueError, match="depth=2"):
        first_at(other(unfreeze_depth=1), 2)


@pytest.mark.parametrize(
    ("depth", "decay", "expected"),
    [
        pytest.param(0, 0.5, {"head": 1e-2}, id="head_alone"),
        pytest.param(2, 1.0, {"head": 1e-2, "stage4": 1e-3, "stage3": 1e-3}, id="no_decay"),
        pytest.param(
            5,
            0.5,
            # lr * scale = 1e-3, halved from block to block
            {
                "head": 1e-2,
                "stage4": 1e-3,
                "stage3": 5e-4,
                "stage2": 2.5e-4,
                "stage1": 1.25e-4,
                "stem": 6.25e-5,
            },
            id="halves",
        ),
    ],
)
def test_rates_match_table(
    depth: int, decay: float, expected: dict[str, float], other: Callable[..., TrialConfig]
) -> None:
    config = other(lr=1e-2, backbone_lr_scale=0.1, layer_decay=decay, unfreeze_depth=depth)
    assert peak_rates(config) == pytest.approx(expected)
    assert list(peak_rates(config)) == list(expected)


def test_blocks_have_the_names_that_models_give_them() -> None:
    assert rates.FROM_THE_HEAD[::-1] == BLOCKS
    assert rates.HEAD == HEAD
