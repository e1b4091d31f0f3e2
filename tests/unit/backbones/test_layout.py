"""Every backbone of the catalogue is five blocks and a head, and the same function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from search.backbones.catalogue import CATALOGUE
from search.backbones.construct import construct, skeleton
from search.backbones.layout import layout
from search.backbones.stages import BLOCKS, HEAD, Staged

NAMES = list(CATALOGUE)
ONE_OF_EACH = frozenset(
    {
        "alexnet",
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "efficientnet_lite0",
        "efficientnet_v2_s",
        "googlenet",
        "inception_v3",
        "maxvit_t",
        "mnasnet0_5",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "regnet_y_400mf",
        "resnet18",
        "shufflenet_v2_x0_5",
        "squeezenet1_0",
        "squeezenet1_1",
        "swin_t",
        "swin_v2_t",
        "vgg11",
        "vit_b_16",
    }
)
"""Of each way to lay out blocks, for the fast tests."""
SMALL = 30_000_000
"""Parameters up to which the real forward pass is part of the fast tests."""
LARGE = 100_000_000
"""Parameters above which it is part of ``make catalogue`` alone."""


def speed(name: str) -> list[pytest.MarkDecorator]:
    """The marks of a real forward pass."""
    size = CATALOGUE[name].parameters
    if size > LARGE:
        return [pytest.mark.slow, pytest.mark.catalogue]
    return [] if name in ONE_OF_EACH and size < SMALL else [pytest.mark.slow]


def staged(name: str, model: nn.Module) -> Staged:
    return Staged(name, model, layout(name, model), dropout=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in ONE_OF_EACH else pytest.mark.slow) for n in NAMES],
)
def test_every_tensor_belongs_to_exactly_one_block_or_the_head(name: str) -> None:
    info = CATALOGUE[name]
    model = skeleton(name, classes=1000, image_size=info.size.default)
    parts = staged(name, model)
    parameters = [key for block in parts.blocks for key, _ in block.named_parameters()]
    parameters += [f"{parts.head_name}.{key}" for key, _ in parts.linear.named_parameters()]
    assert sorted(parameters) == sorted(key for key, _ in model.named_parameters())
    tensors = [key for block in parts.blocks for key, _ in block.named_tensors()]
    assert len(tensors) == len(set(tensors))
    assert set(parts.owners()) == set(model.state_dict())
    assert set(parts.owners().values()) == {*BLOCKS, HEAD}
    # What state_dict() leaves out would be lost when a skeleton is filled from a file.
    assert set(dict(model.named_buffers())) <= set(model.state_dict())
    assert sum(parameter.numel() for parameter in model.parameters()) == info.parameters


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=speed(name)) for name in NAMES],
)
def test_blocks_pool_and_head_give_the_originals_output(
    name: str, lively: Callable[[nn.Module], nn.Module]
) -> None:
    rule = CATALOGUE[name].size
    side = rule.nearest(rule.minimum)
    model = lively(construct(name, classes=1000, image_size=side))
    parts = staged(name, model)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(images)
        assert expected.isfinite().all()
        assert not torch.equal(expected[0], expected[1])
        x = images
        for block in parts.blocks:
            before = x.clone()
            y = block(x)
            assert torch.equal(x, before), f"{block.name} changes its input"
            x = y
        pooled = parts.pool(x)
        # SqueezeNet's last layer is a convolution, and pooling comes after it.
        assert pooled.shape[:2] == (2, parts.features)
        assert pooled.ndim == (4 if name.startswith("squeezenet") else 2)
        assert torch.equal(parts.head(pooled), expected)
        assert torch.equal(parts(images), expected)
        # Nothing but the head reads the head: the same features with another one.
        assert torch.equal(parts.pool(parts.forward_blocks(images)), pooled)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "efficientnet_v2_s",
        "efficientnet_lite0",
        "densenet121",
        "googlenet",
        "mnasnet0_5",
    ],
)
def test_stages_follow_the_resolution(name: str) -> None:
    with torch.device("meta"):
        parts = staged(name, construct(name, classes=2, image_size=128))
        x = torch.empty(1, 3, 128, 128)
        sides = []
        for block in parts.blocks[:4]:
            x = block(x)
            sides.append(x.shape[-1])
    # 128 px: / 2 or / 4 after the stem, then / 4, / 8, / 16
    assert sides[0] in (64, 32)
    assert sides[1:] == [32, 16, 8]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "block", "tensors"),
    [
        pytest.param("vgg11", "stage4", ["classifier.0.weight", "classifier.3.bias"], id="vgg"),
        pytest.param(
            "alexnet", "stage4", ["classifier.1.weight", "features.10.bias"], id="alexnet"
        ),
        pytest.param("mobilenet_v3_small", "stage4", ["classifier.0.weight"], id="hidden"),
        pytest.param("convnext_tiny", "stage4", ["classifier.0.weight"], id="final_norm"),
        pytest.param("swin_t", "stage4", ["norm.weight"], id="swin_final_norm"),
        pytest.param("vit_b_16", "stage4", ["encoder.ln.weight"], id="vit_final_norm"),
        pytest.param(
            "vit_b_16",
            "stem",
            ["class_token", "encoder.pos_embedding", "conv_proj.weight"],
            id="vit_stem",
        ),
        pytest.param("efficientnet_b0", "stage4", ["features.8.0.weight"], id="conv_head"),
        pytest.param("efficientnet_lite0", "stage4", ["conv_head.weight"], id="lite_conv_head"),
        pytest.param("resnet18", "stage4", ["layer4.1.bn2.running_mean"], id="buffers_too"),
        pytest.param("densenet121", "stage4", ["features.norm5.weight"], id="densenet_norm"),
        pytest.param("maxvit_t", "stage4", ["classifier.3.weight"], id="maxvit_hidden"),
        pytest.param("mnasnet0_5", "stage4", ["layers.14.weight"], id="mnasnet_conv_head"),
        pytest.param("shufflenet_v2_x0_5", "stage4", ["conv5.0.weight"], id="shufflenet_head"),
    ],
)
def test_what_comes_before_the_last_linear_layer_is_no_head(
    name: str, block: str, tensors: list[str]
) -> None:
    size = CATALOGUE[name].size.default
    owners = staged(name, skeleton(name, classes=2, image_size=size)).owners()
    assert {owners[tensor] for tensor in tensors} == {block}


def test_alexnet_cannot_take_a_pixel_less_than_its_minimum() -> None:
    with torch.device("meta"):
        model = construct("alexnet", classes=2, image_size=224)
        with pytest.raises(RuntimeError):
            model(torch.empty(1, 3, 62, 62))


@pytest.mark.slow
def test_regnet_follows_the_resolution_though_it_cannot_be_made_without_memory() -> None:
    parts = staged("regnet_y_400mf", construct("regnet_y_400mf", classes=2, image_size=64))
    x, sides = torch.zeros(1, 3, 64, 64), []
    with torch.no_grad():
        for block in parts.blocks:
            x = block(x)
            sides.append(x.shape[-1])
    assert sides == [32, 16, 8, 4, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sides"),
    [
        # 128 px, / 4 after the stem; ShuffleNet's / 16 and SqueezeNet's longest run
        # of one resolution are two stages; without padding 128 / 4 is 31 or 30.
        pytest.param("shufflenet_v2_x0_5", [32, 16, 8, 8, 4], id="shufflenet"),
        pytest.param("squeezenet1_0", [30, 30, 15, 15, 7], id="squeezenet1_0"),
        pytest.param("squeezenet1_1", [31, 31, 15, 7, 7], id="squeezenet1_1"),
    ],
)
def test_where_a_resolution_is_missing_a_stage_is_cut_in_two(name: str, sides: list[int]) -> None:
    found = []
    with torch.device("meta"):
        parts = staged(name, construct(name, classes=2, image_size=128))
        x = torch.empty(1, 3, 128, 128)
        for block in parts.blocks:
            x = block(x)
            found.append(x.shape[-1])
    assert found == sides


def test_an_unknown_name_has_no_layout() -> None:
    with pytest.raises(ValueError, match="densenot121"):
        layout("densenot121", nn.Identity())
