"""The position embedding of a plain ViT at another image size.

Shapes: S tokens (the class token and one for each patch), D width of a token.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import Tensor
from torchvision.models.vision_transformer import interpolate_embeddings

POSITIONS = "encoder.pos_embedding"
"""Its name in torchvision's state dicts."""


def grid(tokens: int) -> int | None:
    """Patches along one side of the image for S tokens; None if not a square."""
    side = math.isqrt(max(0, tokens - 1))
    return side if side > 0 and side * side == tokens - 1 else None


def resized(positions_1SD: Tensor, tokens: int) -> Tensor:
    """The embedding for another number of tokens; itself where it fits.

    Args:
        positions_1SD: The class token's embedding first, then a square grid.
        tokens: S of the result: 1 + the square of the patches along a side.

    Source: torchvision's ``interpolate_embeddings`` (bicubic, corners aligned).
    """
    have, want = grid(positions_1SD.shape[1]), grid(tokens)
    if have is None or want is None:
        raise ValueError(f"no square grid: {positions_1SD.shape[1]} or {tokens} tokens")
    if have == want:
        return positions_1SD
    state = OrderedDict([(POSITIONS, positions_1SD)])
    resized_1SD: Tensor = interpolate_embeddings(want, 1, state)[POSITIONS]
    return resized_1SD.contiguous()
