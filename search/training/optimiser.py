"""AdamW over the head and the trained blocks, and its state as plain tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from search.backbones.stages import HEAD, Staged
from search.training.config import TrialConfig
from search.training.phases import depth_at
from search.training.rates import peak_rates
from search.training.trained import trained_parameters

_EMBEDDINGS = ("pos_embedding", "relative_position_bias_table", "class_token")
"""Ends of the names of learned tables that are no weights of a map."""
_STATE = ("step", "exp_avg", "exp_avg_sq")


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies: not to norms, biases, layer scales, embeddings."""
    wide = sum(size > 1 for size in parameter.shape)
    return wide > 1 and not name.endswith(_EMBEDDINGS)


def optimiser(staged: Staged, config: TrialConfig) -> torch.optim.AdamW:
    """AdamW over what is trained in the first epoch, each block at its rate (``rates.py``).

    Each group has its peak rate under ``peak_lr``; see :func:`set_lr`. The fused
    kernel is used, which CPUs and GPUs both have.
    """
    return torch.optim.AdamW(_groups(staged, config, 0, depth_at(config, 1)), fused=True)


def unfreeze(
    adamw: torch.optim.AdamW, staged: Staged, config: TrialConfig, *, depth: int, deeper: int
) -> None:
    """Let the blocks from ``depth`` to ``deeper`` learn too, as groups of their own; what
    the optimiser knows of the others stays."""
    for group in _groups(staged, config, depth, deeper, head=False):
        adamw.add_param_group(group)


def _groups(
    staged: Staged, config: TrialConfig, depth: int, deeper: int, *, head: bool = True
) -> list[dict[str, Any]]:
    """The head, and the blocks beyond ``depth`` up to ``deeper``, one group for each
    rate and decay."""
    owners = staged.owners()
    rates = peak_rates(config)
    known = {block.name for block in staged.trained_blocks(depth)} | (set() if head else {HEAD})
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained_parameters(staged, deeper).items():
        if owners[name] in known:
            continue
        decay = config.weight_decay if decays(name, parameter) else 0.0
        groups.setdefault((rates[owners[name]], decay), []).append(parameter)
    return [
        {"params": params, "peak_lr": peak, "lr": peak, "weight_decay": decay}
        for (peak, decay), params in groups.items()
    ]


def set_lr(adamw: torch.optim.AdamW, factor: float) -> None:
    """Every group's rate becomes its peak times ``factor``."""
    for group in adamw.param_groups:
        group["lr"] = group["peak_lr"] * factor


def optimiser_tensors(
    adamw: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """AdamW's moments by ``name/exp_avg`` and so on; empty before the first step."""
    return {
        f"{name}/{key}": adamw.state[parameter][key]
        for name, parameter in parameters.items()
        if parameter in adamw.state
        for key in _STATE
    }


def restore_optimiser(
    adamw: torch.optim.AdamW,
    parameters: Mapping[str, nn.Parameter],
    tensors: Mapping[str, Tensor],
) -> None:
    """Put back what :func:`optimiser_tensors` gave.

    Raises:
        KeyError: If a parameter has no state in ``tensors``.
    """
    for name, parameter in parameters.items():
        state = {
            key: tensors[f"{name}/{key}"].to(device=parameter.device, copy=True) for key in _STATE
        }
        for key in _STATE[1:]:  # the moments lie in memory as their parameter does
            state[key] = torch.empty_like(parameter).copy_(state[key])
        adamw.state[parameter] = state
