"""What a step minimises: one number an image, from outputs and targets.

A :data:`Loss` gives one loss an image, so that whoever adds them up decides what
weighs what; ``accumulate.py`` takes the mean over the whole batch, whatever part of
it goes through at once. B batch, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch.nn import functional

from search.training.config import TrialConfig

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(outputs_BK float32, targets) -> losses_B. Targets are class indices [B] int64, or
shares of the classes [B, K] float."""


def loss_of(config: TrialConfig) -> Loss:
    """The loss that a trial is trained with."""

    def cross_entropy(outputs_BK: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            outputs_BK, targets, reduction="none", label_smoothing=config.label_smoothing
        )

    return cross_entropy
