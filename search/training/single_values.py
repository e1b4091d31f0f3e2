"""Batch-norm that a trial would train on one value of each channel, which torch refuses.

A single image leaves one where a map is 1 x 1: in the last stage of small images, and
behind a pooling at any size. Found before the first step, by running an empty image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.backbones.stages import Staged
from search.training.faults import SingleValues
from search.training.phases import depth_at
from search.training.run import Run, boundary_at
from search.training.trained import set_mode

FEWEST = 2
"""Images at once of which any batch-norm has a spread."""


def images_at_once(run: Run, micro_batch: int | None) -> int:
    """How many images go through the trained blocks at once, 1..batch_size.

    Args:
        run: Set up for its first epoch.
        micro_batch: The most that fit; None for as many as the trial says.

    Returns:
        2 where the trial or ``micro_batch`` says 1 and one cannot be trained.

    Raises:
        SingleValues: If the batch itself is of 1 image and cannot be trained.
    """
    config = run.config
    at_once = min(micro_batch or config.at_once, config.at_once)
    if at_once >= FEWEST:
        return at_once
    last = boundary_at(run.staged, config, depth_at(config, config.epochs))
    single = sees_single_values(run.staged, last, image_size=config.image_size)
    set_mode(run.staged, config, run.depth, training=True)
    if single and config.batch_size < FEWEST:
        raise SingleValues(f"batch_size is 1, and {no_spread(run)}: batch_size: 2 or more")
    return FEWEST if single else at_once


def no_spread(run: Run) -> str:
    """Why one image cannot be trained on, as half a sentence."""
    return (
        f"batch-norm of {run.config.backbone} has one value of each channel in an image of "
        f"{run.config.image_size} px, of which it has no spread"
    )


@torch.no_grad()
def sees_single_values(staged: Staged, start: int, *, image_size: int) -> bool:
    """Whether one image leaves one value of a channel to batch-norm from block ``start`` on.

    Leaves the model in eval mode, and its tensors as they were.

    Args:
        staged: On any device.
        start: First block that is trained, 0..5.
        image_size: Pixels.
    """
    values: list[int] = []

    def seen(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values.append(inputs[0].numel() // inputs[0].shape[1])

    hooks = [
        module.register_forward_pre_hook(seen)
        for block in staged.blocks[start:]
        for module in block.modules()
        if isinstance(module, _BatchNorm)
    ]
    if not hooks:
        return False
    try:
        staged.model.eval()
        device = next(staged.parameters()).device
        staged.forward_blocks(torch.zeros(1, 3, image_size, image_size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return 1 in values
