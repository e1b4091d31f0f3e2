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


def loss_of(config: TrialConfig, weights_K: Tensor | None = None) -> Loss:
    """The loss that a trial is trained with.

    Args:
        config: Of the trial.
        weights_K: What an image of each class counts, on the outputs' device; an
            image with shares of several classes counts each share by its class. The
            mean over the batch is not divided by them: over the train part it is 1.
            None counts all the same.
    """
    smoothing = config.label_smoothing

    def cross_entropy(outputs_BK: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            outputs_BK,
            targets,
            weight=weights_K,
            reduction="none",
            label_smoothing=smoothing,
        )

    def focal(outputs_BK: Tensor, targets: Tensor) -> Tensor:
        shares_BK = shares(targets, outputs_BK, smoothing)
        if weights_K is not None:
            shares_BK = shares_BK * weights_K
        return focal_loss(outputs_BK, shares_BK, gamma=config.focal_gamma)

    return focal if config.loss == "focal" else cross_entropy


def focal_loss(outputs_BK: Tensor, shares_BK: Tensor, *, gamma: float) -> Tensor:
    """The sum over classes of share x (1 - p) ** gamma x -log p, of each image.

    Args:
        outputs_BK: float32 logits; p is their softmax.
        shares_BK: Of each class in an image's target.
        gamma: >= 0; 0 gives cross-entropy.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation
    4, whose two classes are one logit; for K classes p is of the softmax, as in
    cross-entropy. Deviation: no alpha, class weights take its place.
    """
    log_p_BK = functional.log_softmax(outputs_BK, dim=1)
    # From the logarithm, so that a p that rounds to 1 has the slope of its limit.
    miss_BK = (-log_p_BK.expm1()).clamp_min(0.0)
    if gamma == 0:
        return -(shares_BK * log_p_BK).sum(dim=1)
    # A gradient of miss ** gamma at 0 is infinite below gamma 1; nothing is to be learnt there.
    factor_BK = miss_BK.clamp_min(_SMALLEST_MISS) ** gamma
    return -(shares_BK * factor_BK * log_p_BK).sum(dim=1)


_SMALLEST_MISS = 1e-12
"""What 1 - p is raised to."""


def shares(targets: Tensor, outputs_BK: Tensor, smoothing: float) -> Tensor:
    """Targets as shares of the classes, [B, K], of which a part is spread over all."""
    classes = outputs_BK.shape[1]
    if targets.ndim == 1:
        targets = functional.one_hot(targets, classes)
    return targets.to(outputs_BK.dtype) * (1 - smoothing) + smoothing / classes
