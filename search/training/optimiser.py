"""AdamW or SGD over the head and the trained blocks, and its state as plain tensors.

``weight_decay`` is AdamW's own, decoupled: a step takes the rate times it off a weight.
With SGD it is L2, as torch has it: added to the gradient, so that momentum carries it
on. ``l1`` is decoupled with both. None of them touches norms, biases, embeddings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from search.backbones.stages import HEAD, Staged
from search.training.config import TrialConfig
from search.training.phases import depth_at
from search.training.rates import peak_rates
from search.training.trained import trained_parameters

_MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")
"""States of the shape of their parameter."""


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay and ``l1`` apply: to the weights of linear, convolutional,
    recurrent and attention layers, e.g. ``layer1.0.conv1.weight``, ``attn.in_proj_weight``
    or ``rnn.weight_ih_l0``.

    Not to biases, nor to the weights of norms, which are vectors; nor to layer scales,
    tokens, embeddings and tables of positions, which torchvision and timm call otherwise.
    The layers that make up Swin V2's position biases decay, as torchvision trains them;
    timm's ``no_weight_decay`` spares those, and is met but for them.
    """
    last = name.rpartition(".")[2]
    weight = last == "weight" or last.endswith("_weight") or last.startswith("weight_")
    return weight and parameter.ndim > 1


def optimiser(staged: Staged, config: TrialConfig) -> Optimizer:
    """An optimiser of what is trained in the first epoch, each block at its rate (``rates.py``).

    Each group has its peak rate under ``peak_lr``, see :func:`set_lr`, and its ``l1``. The
    fused kernels are used, which CPUs and GPUs both have. SGD's momentum is Nesterov's;
    AdamW's betas are .9 and .999.

    Raises:
        ValueError: If there is no such optimiser.
    """
    groups = _groups(staged, config, 0, depth_at(config, 1))
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    if config.optimiser == "sgd":
        nesterov = config.momentum > 0
        return torch.optim.SGD(groups, momentum=config.momentum, nesterov=nesterov, fused=True)
    raise ValueError(f"no such optimiser: {config.optimiser}")


def unfreeze(
    optimiser: Optimizer, staged: Staged, config: TrialConfig, *, depth: int, deeper: int
) -> None:
    """Let the blocks from ``depth`` to ``deeper`` learn too, as groups of their own; what
    the optimiser knows of the others stays."""
    for group in _groups(staged, config, depth, deeper, head=False):
        optimiser.add_param_group(group)


def _groups(
    staged: Staged, config: TrialConfig, depth: int, deeper: int, *, head: bool = True
) -> list[dict[str, Any]]:
    """The head, and the blocks beyond ``depth`` up to ``deeper``, one group for each
    rate, decay and l1."""
    owners = staged.owners()
    rates = peak_rates(config)
    known = {block.name for block in staged.trained_blocks(depth)} | (set() if head else {HEAD})
    groups: dict[tuple[float, float, float], list[nn.Parameter]] = {}
    for name, parameter in trained_parameters(staged, deeper).items():
        if owners[name] in known:
            continue
        decay, l1 = (config.weight_decay, config.l1) if decays(name, parameter) else (0.0, 0.0)
        groups.setdefault((rates[owners[name]], decay, l1), []).append(parameter)
    return [
        {"params": params, "peak_lr": peak, "lr": peak, "weight_decay": decay, "l1": l1}
        for (peak, decay, l1), params in groups.items()
    ]


def set_lr(optimiser: Optimizer, factor: float) -> None:
    """Every group's rate becomes its peak times ``factor``."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor


def take_step(optimiser: Optimizer, *, clip_norm: float) -> None:
    """Clip the gradients, move the parameters, shrink them by ``l1``, forget the gradients.

    Waits for no device: a gradient that is not finite stays so and is found in the loss.

    Args:
        optimiser: From :func:`optimiser`, its rates set; the whole batch's gradients are
            in its parameters.
        clip_norm: Largest norm of all gradients together; 0 does not clip.
    """
    if clip_norm > 0:
        clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip_norm)
    optimiser.step()
    for group in optimiser.param_groups:
        if group["l1"] > 0:
            shrink(group["params"], group["lr"] * group["l1"])
    optimiser.zero_grad(set_to_none=True)  # here: no gradients beside the next activations


@torch.no_grad()
def shrink(weights: Iterable[Tensor], by: float) -> None:
    """Move each weight by ``by`` towards 0, and no further: the proximal step of an L1
    penalty, after which small weights are exactly 0. NaN stays NaN.

    Source: Duchi and Singer, "Efficient Online and Batch Learning Using Forward Backward
    Splitting", JMLR 2009, section 5.1. Deviation: with AdamW the penalty is decoupled, as
    its weight decay is: not divided by the gradients' size.
    """
    for weight in weights:
        weight.sub_(weight.clamp(-by, by))


def optimiser_tensors(
    optimiser: Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Moments and steps by ``name/exp_avg`` and so on; empty before the first step, and
    always with SGD without momentum."""
    return {
        f"{name}/{key}": optimiser.state[parameter][key]
        for name, parameter in parameters.items()
        if parameter in optimiser.state
        for key in _state_of(optimiser)
    }


def restore_optimiser(
    optimiser: Optimizer,
    parameters: Mapping[str, nn.Parameter],
    tensors: Mapping[str, Tensor],
) -> None:
    """Put back what :func:`optimiser_tensors` gave.

    Raises:
        KeyError: If a parameter has no state in ``tensors`` and the optimiser keeps one.
    """
    for name, parameter in parameters.items():
        state = {
            key: tensors[f"{name}/{key}"].to(device=parameter.device, copy=True)
            for key in _state_of(optimiser)
        }
        for key in state.keys() & set(_MOMENTS):  # these lie in memory as their parameter does
            state[key] = torch.empty_like(parameter).copy_(state[key])
        optimiser.state[parameter] = state


def _state_of(optimiser: Optimizer) -> tuple[str, ...]:
    """What an optimiser keeps of each parameter after a step."""
    if isinstance(optimiser, torch.optim.AdamW):
        return ("step", "exp_avg", "exp_avg_sq")
    return ("momentum_buffer",) if optimiser.defaults["momentum"] > 0 else ()
