"""Probabilities of images, or values, for validation, export and predict alike.

Images run through in chunks of one size, padded, so the result for an image
depends neither on how many are passed nor on their order.
N images, K classes, B chunk.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.backbones.info import Preprocessing
from search.backbones.stages import BLOCKS, Staged
from search.training import warp
from search.training.prefix import chunk_size, padded, precision
from search.training.readout import Readout

_MULTICLASS = Readout()


def predict_probabilities(
    staged: Staged,
    images: NDArray[np.uint8],
    *,
    preprocessing: Preprocessing,
    image_size: int,
    device: str | torch.device = "cpu",
    rows: NDArray[np.int64] | None = None,
    readout: Readout = _MULTICLASS,
) -> NDArray[np.floating]:
    """What the model says about images, as the validation of its trial saw it.

    Args:
        staged: On ``device``, where it also belongs in channels_last.
        images: [M, side, side, 3] uint8 squares, side 1.25 x ``image_size``.
        preprocessing: Of the weights.
        image_size: Side of the model's input, pixels.
        device: Where to compute.
        rows: [N] rows of ``images`` to take; None takes all.
        readout: What the outputs mean.

    Returns:
        [N, K], as ``Readout.said`` gives it. On a CPU, equal to the last bit to what
        ``fit`` computed with the same weights and ``activations: float32``. With
        float16 ``fit`` rounds what each frozen block puts out, and this does not:
        an exported model is the library's own, for whoever loads it. The two then
        differ by that rounding, ``run_frozen`` says by how much.
    """
    target = torch.device(device)
    wanted = np.arange(len(images), dtype=np.int64) if rows is None else rows
    staged.set_mode(0, training=False)

    def pixels(chosen: NDArray[np.int64]) -> Tensor:
        batch = torch.from_numpy(images[wanted[chosen]]).to(target)
        shaped = warp.evaluated(batch, image_size=image_size, preprocessing=preprocessing)
        return warp.normalised(shaped, preprocessing)

    return probabilities(staged, pixels, len(wanted), start=0, device=target, readout=readout)


def probabilities(
    staged: Staged,
    features: Callable[[NDArray[np.int64]], Tensor],
    count: int,
    *,
    start: int,
    device: torch.device,
    readout: Readout = _MULTICLASS,
) -> NDArray[np.floating]:
    """Run the blocks from ``start`` on and the head over all images.

    Args:
        staged: In eval mode.
        features: Gives, for B indices, what block ``start`` takes; pooled
            features when ``start`` is behind the last block.
        count: N.
        start: First block to run, 0..5.
        device: Where the model is.
        readout: What the outputs mean.
    """
    size = chunk_size(device)
    done = []
    with torch.no_grad(), precision(device):
        for first in range(0, count, size):
            chosen = np.arange(first, min(first + size, count), dtype=np.int64)
            logits_BK = suffix_logits(staged, features(padded(chosen, size)), start)
            done.append(readout.said(logits_BK)[: len(chosen)])
        found = torch.cat(done) if done else torch.empty((0, staged.classes))
    result: NDArray[np.floating] = found.cpu().numpy()
    return result


def suffix_logits(staged: Staged, features: Tensor, start: int) -> Tensor:
    """Blocks ``start`` to the last, pooling and head."""
    if start < len(BLOCKS):
        features = staged.pool(staged.forward_blocks(features, start)).contiguous()
    return staged.head(features)
