"""AdamW over the head and the trained blocks, and its state as plain tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search.backbones.stages import HEAD, Staged
from search.training.config import TrialConfig

_EMBEDDINGS = ("pos_embedding", "relative_position_bias_table", "class_token")
"""Ends of the names of learned tables that are no weights of a map."""
_STATE = ("step", "exp_avg", "exp_avg_sq")


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies: not to norms, biases, layer scales, embeddings."""
    wide = sum(size > 1 for size in parameter.shape)
    return wide > 1 and not name.endswith(_EMBEDDINGS)


def trained_parameters(staged: Staged, depth: int) -> dict[str, nn.Parameter]:
    """The parameters that learn, by the library's names, head last."""
    named = dict(staged.model.named_parameters())
    return {name: named[name] for name in trained_names(staged, depth) if name in named}


def trained_names(staged: Staged, depth: int) -> tuple[str, ...]:
    """Names in ``model.state_dict()`` that training changes, buffers included."""
    trained = {block.name for block in staged.trained_blocks(depth)} | {HEAD}
    return tuple(name for name, owner in staged.owners().items() if owner in trained)


def optimiser(staged: Staged, config: TrialConfig) -> torch.optim.AdamW:
    """AdamW with the head at ``lr`` and trained blocks at ``lr * backbone_lr_scale``.

    Each group has its peak rate under ``peak_lr``; see :func:`set_lr`. The fused
    kernel is used, which CPUs and GPUs both have.
    """
    head = {f"{staged.head_name}.weight", f"{staged.head_name}.bias"}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained_parameters(staged, config.unfreeze_depth).items():
        peak = config.lr if name in head else config.lr * config.backbone_lr_scale
        decay = config.weight_decay if decays(name, parameter) else 0.0
        groups.setdefault((peak, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": params, "peak_lr": peak, "lr": peak, "weight_decay": decay}
            for (peak, decay), params in groups.items()
        ],
        fused=True,
    )


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
