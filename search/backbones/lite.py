"""The names of EfficientNet-PyTorch's tensors in timm's words.

The packaged weights of efficientnet_lite0 and _lite1 come under those names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
NOT_EXPANDED = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
"""Inside a block of the first stage, which has no expansion."""


def renamed(tensors: Mapping[str, Tensor], model: Any) -> dict[str, Tensor]:
    """The tensors under timm's names; unchanged unless they are in the other's.

    Args:
        tensors: A state dict under either's names.
        model: timm's model: its blocks per stage say which block is where.
    """
    if "_conv_stem.weight" not in tensors:
        return dict(tensors)
    places = [
        (stage, index) for stage, blocks in enumerate(model.blocks) for index in range(len(blocks))
    ]
    return {_name(name, places): tensor for name, tensor in tensors.items()}


def _name(name: str, places: list[tuple[int, int]]) -> str:
    """A name that does not follow the pattern is kept, and found unknown later."""
    parts = name.split(".")
    if parts[0] != "_blocks":
        return ".".join([OUTER.get(parts[0], parts[0]), *parts[1:]])
    if len(parts) < 4 or not parts[1].isdecimal() or int(parts[1]) >= len(places):
        return name
    stage, index = places[int(parts[1])]
    inner = NOT_EXPANDED if stage == 0 else EXPANDED
    return ".".join(["blocks", str(stage), str(index), inner.get(parts[2], parts[2]), *parts[3:]])
