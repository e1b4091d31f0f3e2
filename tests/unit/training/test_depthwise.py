"""The weight gradients of depthwise convolutions: torch's, from less arithmetic."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from search.backbones.stages import Staged, build
from search.training import depthwise
from search.training.depthwise import speed_up_depthwise, weight_gradient
from search.training.lean import keep_less, kept_once

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=PAIR,
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    side=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    images=st.integers(1, 5),
    at_once=st.sampled_from([1, 200, 2**20]),
)
def test_it_is_torchs_for_every_shape(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    side: tuple[int, int],
    images: int,
    at_once: int,
) -> None:
    if any(side[i] + 2 * padding[i] < kernel[i] for i in (0, 1)):
        return
    random = torch.Generator().manual_seed(0)
    x_BCHW = torch.randn(images, 3, *side, generator=random, dtype=torch.float64)
    weight = torch.randn(3, 1, *kernel, generator=random, dtype=torch.float64).requires_grad_()
    y_BCHW = F.conv2d(x_BCHW, weight, None, stride, padding, 1, 3)
    gradient_BCHW = torch.randn(y_BCHW.shape, generator=random, dtype=torch.float64)
    (expected,) = torch.autograd.grad(y_BCHW, weight, gradient_BCHW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise, "AT_ONCE", at_once)
        found = weight_gradient(
            gradient_BCHW, x_BCHW, kernel=kernel, stride=stride, padding=padding
        )
    assert found.shape == weight.shape
    torch.testing.assert_close(found, expected)


def learnt(
    convolution: nn.Conv2d, side: int, *, faster: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Output, and the gradients of input, weight and bias."""
    if faster:
        speed_up_depthwise(convolution)
    random = torch.Generator().manual_seed(1)
    x_BCHW = torch.randn(2, convolution.in_channels, side, side, generator=random)
    x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last).requires_grad_()
    y_BCHW = convolution(x_BCHW)
    convolution.zero_grad()
    y_BCHW.square().sum().backward()
    bias = convolution.bias
    assert x_BCHW.grad is not None
    assert convolution.weight.grad is not None
    return y_BCHW, x_BCHW.grad, convolution.weight.grad, None if bias is None else bias.grad


@pytest.mark.parametrize("bias", [True, False])
def test_output_and_the_inputs_gradient_are_torchs_to_the_last_bit(bias: bool) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 32, 5, padding=2, groups=32, bias=bias)
    own = learnt(convolution, 6, faster=False)
    found = learnt(convolution, 6, faster=True)
    assert "forward" in vars(convolution)
    assert torch.equal(found[0], own[0])
    assert torch.equal(found[1], own[1])
    torch.testing.assert_close(found[2], own[2])
    torch.testing.assert_close(found[3], own[3])


def test_large_feature_maps_are_left_to_torch_to_the_last_bit() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 32, 5, padding=2, groups=32)
    own = learnt(convolution, 24, faster=False)
    assert all(
        torch.equal(a, b)
        for a, b in zip(learnt(convolution, 24, faster=True), own, strict=True)
        if a is not None and b is not None
    )


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 5, padding=2),
        nn.Conv2d(8, 16, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8),
        nn.Conv2d(8, 8, 5, padding="same", groups=8),
        nn.Conv2d(8, 8, 5, padding=2, groups=8, padding_mode="reflect"),
        nn.Conv2d(1, 1, 5),
    ],
)
def test_other_convolutions_are_left_alone(other: nn.Conv2d) -> None:
    speed_up_depthwise(other)
    assert "forward" not in vars(other)


def test_a_frozen_convolution_keeps_nothing() -> None:
    convolution = nn.Conv2d(8, 8, 5, padding=2, groups=8).requires_grad_(False)
    speed_up_depthwise(convolution)
    assert convolution(torch.zeros(1, 8, 4, 4)).grad_fn is None


@pytest.mark.parametrize("side", [4, 24], ids=["ours", "torchs"])
def test_an_input_that_needs_no_gradient_gets_none(side: int) -> None:
    convolution = nn.Conv2d(8, 8, 7, padding=3, groups=8)
    x_BCHW = torch.rand(2, 8, side, side)
    expected = torch.autograd.grad(
        F.conv2d(x_BCHW, convolution.weight, convolution.bias, 1, 3, 1, 8).square().sum(),
        (convolution.weight, *([] if convolution.bias is None else [convolution.bias])),
    )
    speed_up_depthwise(convolution)
    convolution(x_BCHW).square().sum().backward()
    found = (convolution.weight.grad, None if convolution.bias is None else convolution.bias.grad)
    torch.testing.assert_close(found, expected)


def net(backbone: str) -> Staged:
    staged = build(backbone, classes=2, image_size=64, dropout=0.0, state=None, seed=0, body_seed=1)
    staged.set_mode(5, training=True)
    return staged


def gradients(staged: Staged) -> dict[str, Tensor]:
    torch.manual_seed(0)  # for stochastic depth
    images_BCHW = torch.randn(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with kept_once():
        loss = staged(images_BCHW).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return {
        name: parameter.grad
        for name, parameter in staged.model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["efficientnet_b0", "convnext_tiny", "mobilenet_v3_small"])
def test_a_whole_model_learns_the_same(backbone: str) -> None:
    plain, faster = net(backbone), net(backbone)
    keep_less(plain.model)
    keep_less(faster.model)
    speed_up_depthwise(faster.model)
    taken = sum(
        type(module) is nn.Conv2d and "forward" in vars(module) for module in faster.model.modules()
    )
    assert taken > 5
    own, found = gradients(plain), gradients(faster)
    assert found.keys() == own.keys()
    assert all(
        torch.allclose(found[name], own[name], rtol=1e-4, atol=1e-5 * float(own[name].abs().max()))
        for name in own
    )
    assert any(not torch.equal(found[name], own[name]) for name in own)
