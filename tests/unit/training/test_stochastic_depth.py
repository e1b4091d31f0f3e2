"""Stochastic depth: which probabilities, in which architectures, in which blocks."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import StochasticDepth

from search.backbones.catalogue import CATALOGUE
from search.backbones.layout import layout
from search.backbones.stages import Staged, build
from search.training.config import TrialConfig
from search.training.settings.finetuning import WITHOUT_BATCH_NORM
from search.training.settings.head import CONVOLUTIONAL
from search.training.settings.regularisation import WITHOUT_STOCHASTIC_DEPTH
from search.training.stochastic_depth import has_stochastic_depth, set_stochastic_depth

Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]


def _staged(name: str, size: int = 32) -> Staged:
    return build(name, classes=3, image_size=size, dropout=0.0, state=None, seed=0)


def _probabilities(staged: Staged) -> list[float]:
    return [m.p for m in staged.model.modules() if isinstance(m, StochasticDepth)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_b0", "convnext_tiny", "swin_t"])
def test_the_last_layers_probability_is_the_setting_and_earlier_ones_fall_in_proportion(
    name: str,
) -> None:
    staged = _staged(name)
    before = _probabilities(staged)
    set_stochastic_depth(staged, 0.5)
    after = _probabilities(staged)
    assert len(after) == len(before) > 10
    assert max(after) == after[-1] == pytest.approx(0.5)
    assert min(after) == after[0] == 0.0
    assert after == pytest.approx([p * 0.5 / before[-1] for p in before])
    # linear in depth: steps of one size, some layers share a block
    steps = {round(high - low, 6) for low, high in pairwise(after)} - {0.0}
    assert len(steps) == 1


@pytest.mark.slow
def test_below_zero_is_the_architectures_own_and_zero_skips_nothing() -> None:
    staged = _staged("efficientnet_b0")
    before = _probabilities(staged)
    set_stochastic_depth(staged, -1.0)
    assert _probabilities(staged) == before
    set_stochastic_depth(staged, 0.0)
    assert set(_probabilities(staged)) == {0.0}
    staged.set_mode(5, training=True)
    for module in staged.model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm | torch.nn.Dropout):
            module.training = False
    images = torch.randn(4, 3, 32, 32)
    first = staged(images)
    assert torch.equal(staged(images), first)


@pytest.mark.slow
def test_frozen_blocks_skip_nothing() -> None:
    staged = _staged("efficientnet_b0")
    set_stochastic_depth(staged, 0.9)
    staged.set_mode(1, training=True)
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        features = staged.forward_blocks(images, 0, 4)
        assert torch.equal(staged.forward_blocks(images, 0, 4), features)
        one, two = (staged.forward_blocks(features, 4, 5) for _ in range(2))
    assert not torch.equal(one, two)


@pytest.mark.slow
def test_a_trial_changes_with_the_probability_and_with_nothing_else(
    other: Other, curve: Curve
) -> None:
    config = other(backbone="efficientnet_b0", epochs=1)
    own = curve(config)
    strong = other(backbone="efficientnet_b0", epochs=1, stochastic_depth=0.8)
    assert curve(strong) != own
    # the library's rate is of one layer more than the last: 0.2 * 15 / 16
    same = other(backbone="efficientnet_b0", epochs=1, stochastic_depth=0.2 * 15 / 16)
    assert curve(same) == own


@pytest.mark.slow
def test_a_backbone_without_it_is_told_and_trains_as_before(other: Other, curve: Curve) -> None:
    notes: list[str] = []
    plain = curve(other(epochs=1), note=notes.append)
    assert not notes
    assert curve(other(epochs=1, stochastic_depth=0.5), note=notes.append) == plain
    assert notes == ["stochastic_depth does nothing: mobilenet_v3_small has none"]


@pytest.mark.thorough
def test_the_backbones_without_it_or_batch_norm_or_a_linear_head_are_those_that_are_named() -> None:
    found = 0
    for name, info in CATALOGUE.items():
        if info.library != "torchvision":
            continue
        staged = _shape_of(name, info.size.default)
        assert has_stochastic_depth(staged) != _is_like(name, WITHOUT_STOCHASTIC_DEPTH), name
        normalises = any(isinstance(m, _BatchNorm) for m in staged.model.modules())
        assert normalises != _is_like(name, WITHOUT_BATCH_NORM), name
        last = staged.model.get_submodule(layout(name, staged.model).head)
        assert isinstance(last, nn.Conv2d) == _is_like(name, CONVOLUTIONAL), name
        found += 1
    assert found == 80


def _is_like(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _shape_of(name: str, size: int) -> Any:
    from search.backbones.construct import skeleton

    class Shape:
        model = skeleton(name, classes=1000, image_size=size)

    return Shape()


def test_timms_places_are_filled_with_probabilities_that_rise_evenly() -> None:
    pytest.importorskip("timm")
    from timm.layers import DropPath

    staged = _staged("efficientnet_lite0")
    names = list(staged.model.state_dict())
    assert has_stochastic_depth(staged)
    set_stochastic_depth(staged, 0.3)
    found = [m.drop_prob for m in staged.model.modules() if isinstance(m, DropPath)]
    assert len(found) > 10
    assert found == pytest.approx([0.3 * i / (len(found) - 1) for i in range(len(found))])
    assert list(staged.model.state_dict()) == names
    staged.set_mode(1, training=True)
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(staged.forward_blocks(images, 0, 4), staged.forward_blocks(images, 0, 4))
