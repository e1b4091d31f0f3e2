"""What learns, how fast, and what decays."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from search.backbones.construct import skeleton
from search.backbones.stages import Staged, build
from search.training.config import TrialConfig
from search.training.optimiser import (
    decays,
    optimiser,
    optimiser_tensors,
    restore_optimiser,
    set_lr,
)
from search.training.trained import trained_names, trained_parameters


def _staged(name: str = "resnet18", size: int = 32) -> Staged:
    return build(name, classes=3, image_size=size, dropout=0.1, state=None, seed=0)


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 32), ("convnext_tiny", 32), ("swin_t", 32), ("vit_b_16", 32)],
)
def test_norms_biases_scales_and_embeddings_do_not_decay(name: str, size: int) -> None:
    model = skeleton(name, classes=3, image_size=size)
    modules = dict(model.named_modules())
    seen = set()
    for full, parameter in model.named_parameters():
        owner = modules[full.rpartition(".")[0]]
        is_map = isinstance(owner, (nn.Conv2d, nn.Linear, nn.MultiheadAttention))
        wanted = is_map and full.endswith("weight")
        assert decays(full, parameter) == wanted, full
        seen.add(wanted)
    assert seen == {True, False}


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


def test_restored_moments_take_the_same_next_step(other: Callable[..., TrialConfig]) -> None:
    config = other(unfreeze_depth=1)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def step(staged: Staged, adamw: torch.optim.AdamW) -> None:
        adamw.zero_grad()
        staged(images).square().mean().backward()
        adamw.step()

    one, two = _staged("mobilenet_v3_small"), _staged("mobilenet_v3_small")
    for staged in (one, two):
        staged.to(memory_format=torch.channels_last)
        staged.set_mode(1, training=False)
    first, second = optimiser(one, config), optimiser(two, config)
    step(one, first)
    two.model.load_state_dict(one.model.state_dict())
    tensors = optimiser_tensors(first, trained_parameters(one, 1))
    assert len(tensors) == 3 * len(trained_parameters(one, 1))
    restore_optimiser(second, trained_parameters(two, 1), tensors)
    step(one, first)
    step(two, second)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name]), name
