"""Weight gradients of depthwise convolutions on small feature maps, fast on a CPU.

oneDNN has a kernel of its own for those of 3 x 3. For larger ones it takes the dense kernel
and pads every channel to blocks of 16: half of the time in which the last two stages of an
EfficientNet learn. One kernel value's gradient is one product, summed over images and places;
on small maps, where much of the kernel hangs over the edge, taking them one by one costs a
half to a fifteenth of that (docs/decisions/depthwise.md).

Forward passes and the inputs' gradients are torch's own. B batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 64
"""Places of an output up to which this is the faster way: 8 x 8."""
AT_ONCE = 2**20
"""Values of the input that are gone through at once, so that they stay in the cache."""
_ATEN: Any = torch.ops.aten


def speed_up_depthwise(model: nn.Module) -> None:
    """Let a model that is going to be trained learn its large depthwise kernels faster."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _suits(module):
            vars(module)["forward"] = _Depthwise(module)


def _suits(conv: nn.Conv2d) -> bool:
    height, width = conv.kernel_size
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and height * width > 9
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


@dataclass(frozen=True, slots=True)
class _Depthwise:
    """In place of the ``forward`` of a convolution."""

    conv: nn.Conv2d

    def __call__(self, x: Tensor) -> Tensor:
        own = self.conv
        y: Tensor
        if torch.is_grad_enabled() and own.weight.requires_grad and _here(x):
            y = _WithWeightGradient.apply(x, own.weight, own.bias, own.stride, own.padding)
        else:
            y = own._conv_forward(x, own.weight, own.bias)
        return y


def _here(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and x.ndim == 4


class _WithWeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        small = gradient.shape[2] * gradient.shape[3] <= LARGEST
        by_x, by_weight, by_bias = _ATEN.convolution_backward(
            gradient,
            x,
            weight,
            [len(weight)],
            ctx.stride,
            ctx.padding,
            (1, 1),
            False,
            (0, 0),
            len(weight),
            # That of the bias comes out of the same slow kernel as that of the weight.
            [of_x, of_weight and not small, of_bias and not small],
        )
        if small and of_bias:
            by_bias = gradient.sum((0, 2, 3))
        if small and of_weight:
            by_weight = weight_gradient(
                gradient, x, kernel=weight.shape[2:], stride=ctx.stride, padding=ctx.padding
            )
        return by_x, by_weight, by_bias, None, None


def weight_gradient(
    gradient_BCHW: Tensor,
    x_BCHW: Tensor,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """Of a depthwise convolution.

    Args:
        gradient_BCHW: Of its output.
        x_BCHW: Its input, of another H and W.
        kernel: Height and width.
        stride: Down and to the right, >= 1.
        padding: Zeros on top and at the bottom, and on the left and right, >= 0.

    Returns:
        [C, 1, *kernel].
    """
    gradient_BHWC = gradient_BCHW.permute(0, 2, 3, 1)
    x_BHWC = x_BCHW.permute(0, 2, 3, 1)
    _, height, width, _ = x_BHWC.shape
    _, rows, columns, channels = gradient_BHWC.shape
    downs = [_met(i - padding[0], stride[0], rows, height) for i in range(kernel[0])]
    acrosses = [_met(i - padding[1], stride[1], columns, width) for i in range(kernel[1])]
    found = gradient_BCHW.new_zeros(*kernel, channels)
    at_once = max(1, AT_ONCE // (height * width * channels))
    for start in range(0, len(x_BHWC), at_once):
        images = slice(start, start + at_once)
        for i, (to_rows, from_rows) in enumerate(downs):
            for j, (to_columns, from_columns) in enumerate(acrosses):
                product = (
                    gradient_BHWC[images, to_rows, to_columns]
                    * x_BHWC[images, from_rows, from_columns]
                )
                found[i, j] += product.sum((0, 1, 2))
    return found.permute(2, 0, 1).unsqueeze(1).contiguous()


def _met(offset: int, stride: int, outputs: int, inputs: int) -> tuple[slice, slice]:
    """The outputs whose input at ``output * stride + offset`` exists, and those inputs."""
    first = max(0, -(offset // stride))
    last = min(outputs - 1, (inputs - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset
    return slice(first, last + 1), slice(start, last * stride + offset + 1, stride)
