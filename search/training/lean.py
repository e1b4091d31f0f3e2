"""What the backward pass needs, kept once: the same gradients from less memory.

Between a norm and the next convolution torch keeps the norm's input and the activation's
output (a smooth activation's input too), each as large as the other. The norm's input and
its statistics tell the rest, so here that alone is kept, and what the backward pass asks for
is computed again: a multiplication and an addition a value, beside two convolutions.
Chen et al. 2016 (arXiv:1604.06174) and Pleiss et al. 2017 (arXiv:1707.06990) do the same;
deviation: the statistics are kept, not computed a second time.

Only on a CPU, where memory is what other programs need too, and for large tensors alone.
What is computed again may differ from what it was in its last bit, always in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORTH = 2 * 2**20
"""Bytes from which a tensor is computed again: below, the calls cost more than they save."""
_NORM = "NativeBatchNormBackward0"
"""What torch calls a batch-norm's part in the backward pass."""
_MARK = "_search_recipe"
"""Attribute of an activation's output: how it comes about again."""
_LOW, _HIGH = 0.0, 6.0
_ATEN: Any = torch.ops.aten


@dataclass(frozen=True, slots=True, kw_only=True)
class _Activation:
    forward: Callable[[Tensor, bool], Tensor]
    """Of its input; True gives the output in the input's place."""
    backward: Callable[[Tensor, Tensor], Tensor]
    """From the gradient and the output or input."""
    backward_into: Callable[[Tensor, Tensor, Tensor], Tensor]
    """The same, into the third, which may be the second."""
    of_output: bool
    """Whether ``backward`` asks for the output; else for the input."""
    keeps_input: bool = True
    """Whether torch's own keeps its input."""


_ACTIVATIONS = {
    nn.ReLU: _Activation(
        forward=F.relu,
        backward=lambda gradient, y: _ATEN.threshold_backward(gradient, y, 0),
        backward_into=lambda gradient, y, out: _ATEN.threshold_backward(
            gradient, y, 0, grad_input=out
        ),
        of_output=True,
        keeps_input=False,
    ),
    # 0 where the input is not in (0, 6), and so where the output is not.
    nn.ReLU6: _Activation(
        forward=F.relu6,
        backward=lambda gradient, y: _ATEN.hardtanh_backward(gradient, y, _LOW, _HIGH),
        backward_into=lambda gradient, y, out: _ATEN.hardtanh_backward(
            gradient, y, _LOW, _HIGH, grad_input=out
        ),
        of_output=True,
    ),
    nn.SiLU: _Activation(
        forward=F.silu,
        backward=_ATEN.silu_backward,
        backward_into=lambda gradient, z, out: _ATEN.silu_backward(gradient, z, grad_input=out),
        of_output=False,
    ),
    nn.Hardswish: _Activation(
        forward=F.hardswish,
        backward=_ATEN.hardswish_backward,
        backward_into=lambda gradient, z, out: _ATEN.hardswish_backward(gradient, z, out=out),
        of_output=False,
    ),
}


def keep_less(model: nn.Module) -> None:
    """Let the activations of a model that is going to be trained keep less than torch's.

    Its forward passes keep less only within :func:`kept_once`; elsewhere ReLU6 keeps what it
    gives, which the next convolution keeps anyway, instead of what it was given.
    """
    for module in model.modules():
        activation = _ACTIVATIONS.get(type(module))
        if activation is not None:
            vars(module)["forward"] = _Lean(activation, bool(module.inplace))


@contextmanager
def kept_once() -> Iterator[None]:
    """Around a forward pass: what can be computed again is not kept."""

    def pack(tensor: Tensor) -> Tensor | _Recipe:
        recipe = _recipe_of(tensor)
        return tensor if recipe is None else recipe.promised()

    with torch.autograd.graph.saved_tensors_hooks(
        pack, lambda kept: kept.again()[1] if isinstance(kept, _Recipe) else kept
    ):
        yield


@dataclass(frozen=True, slots=True)
class _Lean:
    """In place of the ``forward`` of an activation's module."""

    activation: _Activation
    inplace: bool

    def __call__(self, x: Tensor) -> Tensor:
        own = self.activation
        learns = torch.is_grad_enabled() and x.requires_grad
        norm = _norm_before(x) if learns else None
        y: Tensor
        if norm is not None:
            recipe = _Recipe(norm, own)
            y = _OfRecipe.apply(x, own, recipe, self.inplace)
            setattr(y, _MARK, (y._version, recipe))
        elif learns and own.of_output and own.keeps_input:
            y = _OfOutput.apply(x, own)
        else:
            y = own.forward(x, self.inplace)
        return y


@dataclass(frozen=True, slots=True, kw_only=True)
class _Norm:
    """A batch-norm as it was applied, with the statistics that it used."""

    x: Tensor
    mean: Tensor
    variance: Tensor
    weight: Tensor
    bias: Tensor
    eps: float

    def again(self) -> Tensor:
        return F.batch_norm(self.x, self.mean, self.variance, self.weight, self.bias, eps=self.eps)


class _Recipe:
    """An activation of a norm, computed again once for all that were promised it."""

    def __init__(self, norm: _Norm, activation: _Activation) -> None:
        self._norm = norm
        self._activation = activation
        self._promises = 0
        self._made: tuple[Tensor, Tensor] | None = None

    def promised(self) -> _Recipe:
        self._promises += 1
        return self

    def again(self) -> tuple[Tensor, Tensor]:
        """The activation's input and output; kept until the last promise is."""
        made = self._made
        if made is None:
            with torch.no_grad():
                z = self._norm.again()
                made = z, self._activation.forward(z, self._activation.of_output)
        self._promises -= 1
        self._made = made if self._promises > 0 else None
        return made


class _OfOutput(torch.autograd.Function):
    """Keeps what it gives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: _Activation) -> Tensor:
        y = activation.forward(x, False)
        ctx.save_for_backward(y)
        ctx.activation = activation
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        # In the layout that torch would give it: another changes the last bits of what follows.
        return ctx.activation.backward(gradients[0], y), None


class _OfRecipe(torch.autograd.Function):
    """Keeps nothing of its own."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, activation: _Activation, recipe: _Recipe, inplace: bool
    ) -> Tensor:
        ctx.activation = activation
        ctx.recipe = recipe.promised()
        if inplace:  # a norm does not need what it gave
            ctx.mark_dirty(x)
        return activation.forward(x, inplace)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        z, y = ctx.recipe.again()
        ctx.recipe = None  # torch frees what it saved itself, not this
        activation: _Activation = ctx.activation
        # Whoever else took it has been asked before: nobody needs it any more.
        asked = y if activation.of_output else z
        return activation.backward_into(gradients[0], asked, asked), None, None, None


def _recipe_of(tensor: Tensor) -> _Recipe | None:
    """None too where the values are no longer those that the recipe gives."""
    version, recipe = getattr(tensor, _MARK, (None, None))
    return recipe if version == tensor._version else None


def _norm_before(x: Tensor) -> _Norm | None:
    """The norm that gave ``x``, where all that it needs is kept in any case."""
    node: Any = x.grad_fn
    if x.device.type != "cpu" or x.nbytes < WORTH or node is None or node.name() != _NORM:
        return None
    bias = node.next_functions[2][0]
    if node._saved_weight is None or not hasattr(bias, "variable"):
        return None
    training, eps = node._saved_training, node._saved_eps
    return _Norm(
        x=node._saved_input.detach(),
        mean=node._saved_result1 if training else node._saved_running_mean,
        # What is kept is 1 / sqrt(variance + eps).
        variance=node._saved_result2.pow(-2) - eps if training else node._saved_running_var,
        weight=node._saved_weight.detach(),
        bias=bias.variable.detach(),
        eps=eps,
    )
