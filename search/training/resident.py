"""Decoded images in the memory of a GPU, where they fit: then no epoch carries them there.

M images, side pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from search.training.inputs import Pixels

SHARE = 0.2
"""Of the memory that is free when a process first asks. Several trials share a card,
each a process with images of its own, and their activations need most of it."""
_AT_ONCE = 64 * 2**20
"""Bytes of the host's memory that copying takes."""


def resident(images: Pixels, device: torch.device, *, free: int) -> Tensor | None:
    """A copy of ``images`` on ``device``, or None where they are read as they are wanted.

    Args:
        images: [M, side, side, 3] uint8; images that are decoded when asked for
            are many, and stay where they are.
        device: Where trials run.
        free: Bytes that are free there now.

    Returns:
        [M, side, side, 3] uint8, at most SHARE of ``free``.
    """
    if not isinstance(images, np.ndarray) or images.nbytes > SHARE * free:
        return None
    copy = torch.empty(images.shape, dtype=torch.uint8, device=device)
    step = max(1, _AT_ONCE // max(1, images[:1].nbytes))
    for first in range(0, len(images), step):
        # A mapped file is read only, and torch asks for memory that it may write to.
        copy[first : first + step] = torch.from_numpy(np.array(images[first : first + step]))
    return copy
