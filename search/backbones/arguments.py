"""What the libraries' constructors are told besides a model's name. Torch-free leaf.

No auxiliary heads; GoogLeNet and Inception turn their input into the one that
their weights were trained on, as torchvision does where it loads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from search.backbones.timm_names import is_timm, timm_arguments

Argument: TypeAlias = int | bool | tuple[int, int]
"""Of a constructor, as it is written into an exported model's description."""

HeadKind: TypeAlias = Literal["linear", "mlp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """What stands in place of the library's last linear layer."""

    kind: HeadKind = "linear"
    """``linear``, or ``mlp``: a hidden layer, GELU, dropout and the last layer."""
    hidden: int = 0
    """Width of the hidden layer; 0 is that of the pooled features. Of ``mlp`` alone."""


LINEAR = HeadSpec()
"""The library's own kind of head."""

AUXILIARY: Mapping[str, tuple[str, ...]] = {
    "googlenet": ("aux1.", "aux2."),
    "inception_v3": ("AuxLogits.",),
}
"""How the tensors begin that the library's weights have and our models do not:
heads that only its own training reads."""


def constructor_arguments(name: str, *, classes: int, image_size: int) -> dict[str, Argument]:
    """What the library's constructor is called with besides the model's name.

    Returns:
        E.g. ``{"num_classes": 5}``; for a ViT ``{"image_size": 160,
        "num_classes": 5}``: ``torchvision.models.get_model("vit_b_16", **it)``.
    """
    more: dict[str, Argument] = {}
    if is_timm(name):
        more = timm_arguments(name, image_size)
    elif name.startswith("vit_"):
        more = {"image_size": image_size}
    elif name.startswith("maxvit_"):
        more = {"input_size": (image_size, image_size)}
    elif name in AUXILIARY:
        more = {"aux_logits": False, "init_weights": False, "transform_input": True}
    return more | {"num_classes": classes}
