"""Stochastic depth: residual layers that are skipped for an image while they are trained.

torchvision's architectures come with probabilities that rise with depth; those are
scaled, so that the last layer's is the one asked for. timm's have a place for it, as a
rule empty: it is filled with probabilities that rise evenly from 0, as timm does.
Frozen blocks are in eval mode, where nothing is skipped. No tensor is touched.

Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016. Deviation: as in
both libraries, what is kept is scaled up in training, not down in evaluation.
"""

from __future__ import annotations

from torch import nn
from torchvision.ops import StochasticDepth

from search.backbones.stages import Staged

_PLACES = ("drop_path", "drop_path1", "drop_path2")
"""Names of timm's modules that skip, or would."""


def has_stochastic_depth(staged: Staged) -> bool:
    """Whether the architecture has layers that can be skipped."""
    return bool(_torchvisions(staged.model) or _timms(staged.model))


def set_stochastic_depth(staged: Staged, probability: float) -> None:
    """Make the last residual layer's probability of being skipped the given one, those of
    the layers before it less, in proportion; where there are none, do nothing.

    Args:
        staged: Changed in place.
        probability: [0, 1); below 0 leaves the architecture's own.
    """
    if probability < 0:
        return
    layers = _torchvisions(staged.model)
    most = max((layer.p for layer in layers), default=0.0)
    for layer in layers:
        layer.p *= probability / most
    places = _timms(staged.model)
    if not places:
        return
    from timm.layers.drop import DropPath  # an optional part, slow to import

    for number, (owner, names) in enumerate(places):
        chance = probability * number / max(1, len(places) - 1)
        for name in names:
            setattr(owner, name, DropPath(chance))


def _torchvisions(model: nn.Module) -> list[StochasticDepth]:
    return [module for module in model.modules() if isinstance(module, StochasticDepth)]


def _timms(model: nn.Module) -> list[tuple[nn.Module, tuple[str, ...]]]:
    """Modules that own such places, and the names of these, from the image on."""
    found = []
    for owner in model.modules():
        names = tuple(name for name in _PLACES if isinstance(getattr(owner, name, None), nn.Module))
        if names:
            found.append((owner, names))
    return found
