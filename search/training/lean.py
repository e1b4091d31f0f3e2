"""What the backward pass needs, kept once: the same gradients from less memory.

torch's ReLU6 keeps what it was given, which nothing else needs where a norm gave it;
what it gives is kept by the next convolution anyway, and tells the same gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from search.backbones.stages import Staged

_LOW, _HIGH = 0.0, 6.0


def keep_less(staged: Staged) -> None:
    """Let the activations of a model that is going to be trained keep what they give.

    Only ReLU6 is concerned: ReLU does so already, and what smooth activations were given
    cannot be told from what they give.
    """
    for module in staged.model.modules():
        if type(module) is nn.ReLU6:
            vars(module)["forward"] = _relu6


def _relu6(x: Tensor) -> Tensor:
    if not (torch.is_grad_enabled() and x.requires_grad):
        return nn.functional.relu6(x)
    y: Tensor = _Relu6.apply(x)
    return y


class _Relu6(torch.autograd.Function):
    """0 where the input is not in (0, 6), and so where the output is not: to the last bit
    the gradient of torch's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = nn.functional.relu6(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        gradient: Tensor = torch.ops.aten.hardtanh_backward(gradients[0], y, _LOW, _HIGH)
        return gradient
