"""What learns, how fast, and what decays."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from search.backbones.construct import skeleton
from search.backbones.stages import Staged, build
from search.training.config import TrialConfig
from search.training.optimiser import (
    decays,
    optimiser,
    optimiser_tensors,
    restore_optimiser,
    set_lr,
    shrink,
    take_step,
    unfreeze,
)
from search.training.trained import trained_names, trained_parameters


def _staged(name: str = "resnet18", size: int = 32) -> Staged:
    return build(name, classes=3, image_size=size, dropout=0.1, state=None, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 32),
        ("convnext_tiny", 32),
        ("swin_t", 32),
        ("vit_b_16", 32),
        ("timm:vit_tiny_patch16_224", 224),
        ("timm:vit_tiny_r_s16_p8_224", 224),
        ("timm:vit_small_patch14_reg4_dinov2", 224),
        ("timm:eva02_tiny_patch14_224", 224),
        ("timm:hiera_tiny_224", 224),
        ("timm:tiny_vit_5m_224", 224),
        ("timm:botnet26t_256", 256),
        ("timm:sequencer2d_s", 224),
    ],
)
def test_weights_of_maps_alone_decay_no_norm_bias_scale_token_or_embedding(
    name: str, size: int
) -> None:
    model = skeleton(name, classes=3, image_size=size)
    modules = dict(model.named_modules())
    maps = (nn.Conv2d, nn.Linear, nn.MultiheadAttention, nn.LSTM)
    seen = set()
    for full, parameter in model.named_parameters():
        owner, _, last = full.rpartition(".")
        wanted = isinstance(modules[owner], maps) and "weight" in last
        assert decays(full, parameter) == wanted, full
        seen.add(wanted)
    assert seen == {True, False}
    if hasattr(model, "no_weight_decay"):  # timm's own list; its names need not all be there
        named = dict(model.named_parameters())
        kept = [full for full in model.no_weight_decay() if full in named]
        assert not [full for full in kept if decays(full, named[full])]


def test_a_head_of_a_single_output_decays_as_any_other(
    other: Callable[..., TrialConfig],
) -> None:
    staged = build("resnet18", classes=1, image_size=32, dropout=0.0, state=None, seed=0)
    own = optimiser(staged, other(unfreeze_depth=0, weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in own.param_groups for p in group["params"]}
    assert decay == {id(staged.linear.weight): 0.3, id(staged.linear.bias): 0.0}


def test_the_head_learns_at_lr_and_blocks_at_their_share(other: Callable[..., TrialConfig]) -> None:
    staged = _staged()
    config = other(unfreeze_depth=2, lr=1e-2, backbone_lr_scale=0.05, weight_decay=0.3)
    adamw = optimiser(staged, config)
    rate = {id(p): group["lr"] for group in adamw.param_groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    named = dict(staged.model.named_parameters())
    assert rate[id(named["fc.weight"])] == 1e-2
    assert rate[id(named["fc.bias"])] == 1e-2
    assert rate[id(named["layer3.0.conv1.weight"])] == pytest.approx(5e-4)
    assert id(named["layer2.0.conv1.weight"]) not in rate
    assert decay[id(named["layer4.1.conv2.weight"])] == 0.3
    assert decay[id(named["layer4.1.bn2.weight"])] == 0
    assert decay[id(named["fc.bias"])] == 0
    set_lr(adamw, 0.5)
    assert sorted({group["lr"] for group in adamw.param_groups}) == pytest.approx([2.5e-4, 5e-3])


@pytest.mark.slow
@pytest.mark.parametrize("depth", range(6))
def test_exactly_the_last_blocks_and_the_head_are_trained(
    depth: int, other: Callable[..., TrialConfig]
) -> None:
    staged = _staged()
    staged.set_mode(depth, training=True)
    learns = {name for name, p in staged.model.named_parameters() if p.requires_grad}
    assert set(trained_parameters(staged, depth)) == learns
    names = trained_names(staged, depth)
    assert learns <= set(names)
    owners = staged.owners()
    assert len({owners[name] for name in names}) == depth + 1
    held = sum(
        len(g["params"]) for g in optimiser(staged, other(unfreeze_depth=depth)).param_groups
    )
    assert held == len(learns)


OPTIMISERS = [
    pytest.param({"optimiser": "adamw"}, 3, id="adamw"),
    pytest.param({"optimiser": "sgd"}, 1, id="sgd"),
    pytest.param({"optimiser": "sgd", "momentum": 0.0}, 0, id="sgd_without_momentum"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "states"), OPTIMISERS)
def test_restored_moments_take_the_same_next_step(
    settings: dict[str, Any], states: int, other: Callable[..., TrialConfig]
) -> None:
    config = other(unfreeze_depth=1, **settings)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def step(staged: Staged, own: Optimizer) -> None:
        staged(images).square().mean().backward()
        take_step(own, clip_norm=0.0)

    one, two = _staged("mobilenet_v3_small"), _staged("mobilenet_v3_small")
    for staged in (one, two):
        staged.to(memory_format=torch.channels_last)
        staged.set_mode(1, training=False)
    first, second = optimiser(one, config), optimiser(two, config)
    step(one, first)
    two.model.load_state_dict(one.model.state_dict())
    tensors = optimiser_tensors(first, trained_parameters(one, 1))
    assert len(tensors) == states * len(trained_parameters(one, 1))
    restore_optimiser(second, trained_parameters(two, 1), tensors)
    step(one, first)
    step(two, second)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name]), name


def _moved(
    config: TrialConfig, gradients: list[float], clip_norm: float = 0.0
) -> tuple[Tensor, Tensor]:
    """A weight and a bias of the head, both 1 before, after steps with these gradients."""
    staged = _staged()
    own = optimiser(staged, config)
    named = dict(staged.model.named_parameters())
    weight, bias = named["fc.weight"], named["fc.bias"]
    for parameter in (weight, bias):
        nn.init.ones_(parameter)
    for gradient in gradients:
        for parameter in (weight, bias):
            parameter.grad = torch.full_like(parameter, gradient)
        take_step(own, clip_norm=clip_norm)
        assert weight.grad is None
    return weight[0, 0].detach(), bias[0].detach()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "weight", "bias"),
    [
        # w - lr g, twice; the decay is not the bias's: 1 - .1 * 2 - .1 * 3
        pytest.param({"momentum": 0.0, "weight_decay": 0.0}, 0.5, 0.5, id="sgd_plain"),
        # L2: g = 2 + .5 * 1 = 2.5, w = .75; g = 3 + .5 * .75 = 3.375, w = .4125
        pytest.param({"momentum": 0.0, "weight_decay": 0.5}, 0.4125, 0.5, id="sgd_l2"),
        # b = 2, w = 1 - .1 (2 + .9 * 2) = .62; b = .9 * 2 + 3 = 4.8, w = .62 - .1 (3 + .9 * 4.8)
        pytest.param({"momentum": 0.9, "weight_decay": 0.0}, -0.112, -0.112, id="sgd_nesterov"),
    ],
)
def test_sgd_moves_as_computed_by_hand(
    settings: dict[str, float], weight: float, bias: float, other: Callable[..., TrialConfig]
) -> None:
    config = other(unfreeze_depth=0, optimiser="sgd", lr=0.1, **settings)
    found = _moved(config, [2.0, 3.0])
    assert [float(value) for value in found] == pytest.approx([weight, bias])


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_moves_as_torchs_own(momentum: float, other: Callable[..., TrialConfig]) -> None:
    config = other(unfreeze_depth=0, optimiser="sgd", lr=0.1, momentum=momentum, weight_decay=0.3)
    theirs = nn.Parameter(torch.ones(3))
    sgd = torch.optim.SGD(
        [theirs], lr=0.1, momentum=momentum, nesterov=momentum > 0, weight_decay=0.3, foreach=False
    )
    gradients = torch.randn(5, generator=torch.Generator().manual_seed(0)).tolist()
    for gradient in gradients:
        theirs.grad = torch.full_like(theirs, gradient)
        sgd.step()
    torch.testing.assert_close(_moved(config, gradients)[0], theirs[0].detach())


def test_adamw_takes_its_decay_off_the_weight_and_not_into_the_gradient(
    other: Callable[..., TrialConfig],
) -> None:
    config = other(unfreeze_depth=0, lr=0.1, weight_decay=0.5)
    # the first step is lr * sign(g), whatever g; the decay takes lr * .5 of the weight off first
    found = _moved(config, [7.0])
    assert [float(value) for value in found] == pytest.approx([0.95 - 0.1, 1 - 0.1])


@pytest.mark.slow
def test_l1_moves_weights_to_zero_by_lr_times_it_and_no_bias(
    other: Callable[..., TrialConfig],
) -> None:
    plain = {"unfreeze_depth": 0, "optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0}
    some, much = (other(lr=0.1, l1=l1, **plain) for l1 in (2.0, 20.0))
    # 1 - .1 * 3 - .1 * 2; then 0, and not below
    assert [float(v) for v in _moved(some, [3.0])] == pytest.approx([0.5, 0.7])
    assert [float(v) for v in _moved(much, [3.0])] == pytest.approx([0.0, 0.7])


def test_shrinking_stops_at_zero_from_either_side_and_keeps_what_is_no_number() -> None:
    weights = torch.tensor([3.0, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0, math.nan])
    shrink([weights], 1.0)
    assert weights[:-1].tolist() == [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0]
    assert math.isnan(weights[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip_norm", "moved"),
    [
        # 1536 weights of the head and 3 biases, all with the gradient 2: the norm is 78.5
        pytest.param(0.0, 0.2, id="off"),
        pytest.param(100.0, 0.2, id="within"),
        pytest.param(math.sqrt(1539), 0.1, id="half"),
    ],
)
def test_clipping_bounds_the_norm_of_all_gradients_together(
    clip_norm: float, moved: float, other: Callable[..., TrialConfig]
) -> None:
    config = other(unfreeze_depth=0, optimiser="sgd", momentum=0.0, weight_decay=0.0, lr=0.1)
    found = _moved(config, [2.0], clip_norm)
    assert [1 - float(value) for value in found] == pytest.approx([moved, moved], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "states"), OPTIMISERS)
def test_blocks_that_join_learn_as_groups_of_their_own_and_the_others_go_on(
    settings: dict[str, Any], states: int, other: Callable[..., TrialConfig]
) -> None:
    staged = _staged("mobilenet_v3_small")
    config = other(unfreeze_depth=2, finetune="gradual", unfreeze_every=1, l1=1e-4, **settings)
    staged.set_mode(2, training=False)
    own = optimiser(staged, config)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    joined = 0
    for depth in range(3):
        if depth:
            unfreeze(own, staged, config, depth=depth - 1, deeper=depth)
        before = {name: p.detach().clone() for name, p in staged.model.named_parameters()}
        staged(images).square().mean().backward()
        take_step(own, clip_norm=1.0)
        moved = {n for n, p in staged.model.named_parameters() if not torch.equal(p, before[n])}
        learns = trained_parameters(staged, depth)
        assert moved <= set(learns)
        assert moved & (
            set(learns) - set(trained_parameters(staged, depth - 1)) if depth else moved
        )
        assert sum(len(group["params"]) for group in own.param_groups) == len(learns)
        assert len(optimiser_tensors(own, learns)) == states * len(learns)
        assert len(own.param_groups) > joined
        joined = len(own.param_groups)
        staged.model.zero_grad()
    for group in own.param_groups:
        assert (group["l1"] > 0) == (group["weight_decay"] > 0)


def test_an_optimiser_that_there_is_not_is_refused_by_name(
    other: Callable[..., TrialConfig],
) -> None:
    with pytest.raises(ValueError, match="no such optimiser: lion"):
        optimiser(_staged(), other(optimiser="lion"))
