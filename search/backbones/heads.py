"""The new head: what takes the place of the library's last linear layer.

Initialised as torch does, from a generator of its own. A head is one module under
that layer's name: a linear layer, or a ``Sequential`` whose last part is one. Where
the library's layer is a 1 x 1 convolution, or has no bias, so is the new one.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from search.backbones.arguments import HeadSpec


def new_head(
    old: nn.Module, *, classes: int, spec: HeadSpec, dropout: float, seed: int
) -> nn.Module:
    """A head in place of the library's last layer.

    Args:
        old: The library's last layer, linear or a 1 x 1 convolution.
        classes: Number of outputs, >= 1.
        spec: Which kind of head.
        dropout: Probability of dropping a hidden unit of an ``mlp``. What drops the
            pooled features in front of any head is ``Staged``'s.
        seed: Of the initial values.
    """
    head = empty_head(old, classes=classes, spec=spec, dropout=dropout)
    # Not to_empty: it imports torch's compiler, for the strides of a meta tensor.
    memory = {name: torch.empty(each.shape) for name, each in head.state_dict().items()}
    head.load_state_dict(memory, assign=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in head.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                bound = 1.0 / math.sqrt(layer.weight.shape[1])
                for parameter in layer.parameters():
                    parameter.uniform_(-bound, bound, generator=generator)
    return head


def empty_head(old: nn.Module, *, classes: int, spec: HeadSpec, dropout: float) -> nn.Module:
    """As :func:`new_head`, without memory behind its tensors."""
    assert isinstance(old, nn.Linear | nn.Conv2d)
    if spec.kind == "linear":
        return _like(old, old.weight.shape[1], classes)
    width = spec.hidden or old.weight.shape[1]
    return nn.Sequential(
        _like(old, old.weight.shape[1], width),
        nn.GELU(),
        nn.Dropout(dropout),
        _like(old, width, classes),
    )


def first_layer(head: nn.Module) -> nn.Linear | nn.Conv2d:
    """The layer that takes the pooled features."""
    layer = head[0] if isinstance(head, nn.Sequential) else head
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    return layer


def last_layer(head: nn.Module) -> nn.Linear | nn.Conv2d:
    """The layer that gives the logits."""
    layer = head[-1] if isinstance(head, nn.Sequential) else head
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    return layer


def _like(old: nn.Linear | nn.Conv2d, inputs: int, outputs: int) -> nn.Linear | nn.Conv2d:
    bias = old.bias is not None
    if isinstance(old, nn.Linear):
        return nn.Linear(inputs, outputs, bias=bias, device="meta")
    assert old.kernel_size == (1, 1)
    return nn.Conv2d(inputs, outputs, 1, bias=bias, device="meta")
