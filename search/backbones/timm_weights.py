"""timm's tensors as the installed timm has them: names of older files, other sizes.

Nothing here opens a file or the network: timm is handed tensors that were read as
tensors alone, and never none, for which it would fetch its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from search.backbones.info import BackboneInfo

TIMM_POSITIONS = "pos_embed"
"""A plain ViT's table of positions in timm's state dicts."""


def converted(
    info: BackboneInfo, tensors: Mapping[str, Tensor], model: nn.Module, head: str
) -> dict[str, Tensor]:
    """Tensors under the names and in the shapes of the installed timm.

    They are returned as they are where they fit, and where timm's own loading does not
    know them either: the caller says what does not fit.

    Args:
        info: A row of timm's.
        tensors: Of a file.
        model: The model without memory.
        head: Name of its last layer, which may be missing.
    """
    import timm  # an optional part, slow to import

    def body(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in state.items() if not _of(head, name)}

    if not tensors or body(tensors) == body(model.state_dict()):
        return dict(tensors)
    config = timm.get_pretrained_cfg(info.library_name, allow_unregistered=True)
    classes = (config.num_classes if config else 0) or 1000
    with torch.random.fork_rng(devices=[]):
        loading = logging.getLogger("timm")
        level = loading.level
        loading.setLevel(logging.ERROR)
        try:
            loaded: Any = timm.create_model(
                info.library_name,
                pretrained=True,
                num_classes=classes,
                pretrained_cfg_overlay={"state_dict": dict(tensors), "num_classes": classes},
            )
        except (
            RuntimeError,
            LookupError,
            ValueError,
            AttributeError,
            TypeError,
            AssertionError,
        ):  # whatever its reading of a strange file ends in
            return dict(tensors)
        finally:
            loading.setLevel(level)
    return dict(loaded.state_dict())


def timm_resized(positions_1SD: Tensor, model: Any) -> Tensor:
    """The table for the size that the model was made for; itself where it fits.

    Source: timm's ``resample_abs_pos_embed`` (bicubic, antialiased).
    """
    wanted: Tensor = model.pos_embed
    if wanted.shape == positions_1SD.shape or not hasattr(model, "no_embed_class"):
        return positions_1SD
    from timm.layers.pos_embed import resample_abs_pos_embed

    resampled: Tensor = resample_abs_pos_embed(
        positions_1SD,
        new_size=list(model.patch_embed.grid_size),
        num_prefix_tokens=0 if model.no_embed_class else model.num_prefix_tokens,
    )
    return resampled.contiguous()


def _of(head: str, name: str) -> bool:
    return name.rpartition(".")[0] == head
