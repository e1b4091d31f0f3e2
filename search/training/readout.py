"""What a model's outputs mean for a task, and what they learn. One place for both.

multiclass: a softmax, probabilities that sum to 1. multilabel: a sigmoid for each
class, on its own. regression: one output, the value in standard deviations from the
mean of the train part; it is given back in its unit, in float64, which keeps the digits
of values far from 0. N images, B batch, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from search.data.targets import Scale, Targets
from search.space.spec import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """From a model's outputs to what it says, and from targets to what it learns."""

    task: Task = "multiclass"
    scale: Scale = field(default_factory=Scale)
    """Of a regression's values."""

    def said(self, outputs_BK: Tensor) -> Tensor:
        """[B, K] float32 probabilities; of a regression, float64 values in their unit [B, 1]."""
        outputs_BK = outputs_BK.float()
        if self.task == "regression":
            return outputs_BK.double() * self.scale.std + self.scale.mean
        return outputs_BK.sigmoid() if self.task == "multilabel" else outputs_BK.softmax(dim=1)

    def learnt(self, targets: Targets) -> Tensor:
        """What the loss takes: class indices [N] int64; shares [N, K] or standardised
        values [N, 1], float32."""
        if self.task == "multiclass":
            return torch.from_numpy(targets)
        if self.task == "multilabel":
            return torch.from_numpy(targets).float()
        standardised_N = (targets - self.scale.mean) / self.scale.std
        return torch.from_numpy(standardised_N).float()[:, None]
