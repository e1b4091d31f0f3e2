"""What a step minimises, for each task. B batch, K outputs.

One class an image: ``losses.py``. Here: several, each on its own, and numbers, which
are in standard deviations. Every loss is a mean over outputs, so that its size, and
with it a good learning rate, does not grow with their number.

Where a class is weighted, an image counts for it by its label: as one that is in it, as
one that is not, or, mixed from both, in between, in the shares of the mix. Labels weigh
before they are smoothed, so weights change how much a pair of image and class counts
and never which probability is to be learnt of it: with ``label_smoothing`` 0.1 that
stays 0.95 and 0.05. Smoothed labels would count 0.05 of each of many images without a
rare class as such of that class, by its weight, and the model would see it everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from search.space.spec import Task
from search.training.config import TrialConfig
from search.training.losses import Loss, loss_of


def loss_for(task: Task, config: TrialConfig, weights: Tensor | None = None) -> Loss:
    """The loss that a trial of a task is trained with.

    Args:
        task: Decides what ``loss: auto`` is: cross_entropy, bce or mse.
        config: Of the trial.
        weights: On the outputs' device; None counts all the same. One class an image:
            [K], as ``losses.loss_of`` takes them. Several: [2, K], what an image counts
            for a class that it is not in, and for one that it is in; the mean over
            outputs is not divided by them: over the train part each class has 1.

    Raises:
        ValueError: If ``config.loss`` is of another task.
    """
    if task == "multiclass":
        return loss_of(config, weights)
    if task == "multilabel":
        return _several(config, weights)
    return _number(config)


def _several(config: TrialConfig, weights_2K: Tensor | None) -> Loss:
    smoothing, gamma = config.label_smoothing, config.focal_gamma

    def mean(losses_BK: Tensor, targets_BK: Tensor) -> Tensor:
        if weights_2K is not None:
            losses_BK = losses_BK * torch.lerp(weights_2K[0], weights_2K[1], targets_BK)
        return losses_BK.mean(dim=1)

    def bce(outputs_BK: Tensor, targets_BK: Tensor) -> Tensor:
        smooth_BK = targets_BK * (1 - smoothing) + smoothing / 2
        losses_BK = functional.binary_cross_entropy_with_logits(
            outputs_BK, smooth_BK, reduction="none"
        )
        return mean(losses_BK, targets_BK)

    def focal(outputs_BK: Tensor, targets_BK: Tensor) -> Tensor:
        smooth_BK = targets_BK * (1 - smoothing) + smoothing / 2
        return mean(binary_focal_loss(outputs_BK, smooth_BK, gamma=gamma), targets_BK)

    if config.loss not in ("auto", "bce", "focal"):
        raise ValueError(f"loss {config.loss} is not of several classes an image")
    return focal if config.loss == "focal" else bce


def binary_focal_loss(outputs_BK: Tensor, targets_BK: Tensor, *, gamma: float) -> Tensor:
    """(1 - p) ** gamma x binary cross-entropy of each pair, [B, K]; p is the probability
    of what the target says.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4.
    Deviation: no alpha; the weights of ``class_imbalance`` take its place.
    """
    cross_BK = functional.binary_cross_entropy_with_logits(outputs_BK, targets_BK, reduction="none")
    p_BK = outputs_BK.sigmoid()
    miss_BK = p_BK * (1 - targets_BK) + (1 - p_BK) * targets_BK
    return cross_BK * miss_BK.clamp_min(1e-12) ** gamma


def _number(config: TrialConfig) -> Loss:
    delta = config.huber_delta

    def mse(outputs_BK: Tensor, targets_BK: Tensor) -> Tensor:
        return functional.mse_loss(outputs_BK, targets_BK, reduction="none").mean(dim=1)

    def mae(outputs_BK: Tensor, targets_BK: Tensor) -> Tensor:
        return functional.l1_loss(outputs_BK, targets_BK, reduction="none").mean(dim=1)

    def huber(outputs_BK: Tensor, targets_BK: Tensor) -> Tensor:
        losses_BK = functional.huber_loss(outputs_BK, targets_BK, reduction="none", delta=delta)
        return losses_BK.mean(dim=1)

    losses: dict[str, Loss] = {"auto": mse, "mse": mse, "mae": mae, "huber": huber}
    if config.loss not in losses:
        raise ValueError(f"loss {config.loss} is not of numbers")
    return losses[config.loss]
