"""The gradients of one optimiser step, from parts of its batch where it does not fit.

How many images go through the model at once is a matter of memory, not of the
trial: the loss is the mean over the whole batch either way. Two things do see the
parts. Batch-norm that is trained normalises each by its own statistics, and moves
its running ones once a part; :func:`sees_parts` tells. Dropout and stochastic depth
draw in another order. And sums of parts round otherwise: a trial gives the same
curve to the last bit only with the same parts.
B batch, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from search.backbones.stages import Staged
from search.training.lean import kept_once
from search.training.losses import Loss
from search.training.predict import suffix_logits
from search.training.prefix import precision
from search.training.schedule import batches


def backward(
    staged: Staged,
    inputs: Tensor,
    targets: Tensor,
    *,
    start: int,
    loss: Loss,
    micro_batch: int,
) -> Tensor:
    """Add the gradients of the mean loss over a batch to the parameters'.

    Args:
        staged: In training mode.
        inputs: What block ``start`` takes, of B images.
        targets: [B, ...], as the loss takes them.
        start: First block to run, 0..5.
        loss: Gives one an image; the mean over the batch is what is minimised.
        micro_batch: Images that go through at once, >= 1; one more where a single
            one would be left over. A batch that is no larger goes through whole.

    Returns:
        The loss, detached: a scalar on the device.
    """
    total = torch.zeros((), device=inputs.device)
    for part in batches(len(inputs), micro_batch):
        with precision(inputs.device), kept_once():
            logits_BK = suffix_logits(staged, inputs[part], start)
        mean = loss(logits_BK.float(), targets[part]).mean()
        share = mean * ((part.stop - part.start) / len(inputs))  # of a whole batch: times 1
        share.backward()
        total += share.detach()
        del logits_BK, mean, share  # what they keep is not to be there beside the next part's
    return total


def sees_parts(staged: Staged, start: int) -> bool:
    """Whether a trained block normalises by the images that go through with it."""
    return any(
        isinstance(module, _BatchNorm)
        for block in staged.blocks[start:]
        for module in block.modules()
    )
