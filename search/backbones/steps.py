"""What a backbone's blocks are made of, before any family is named.

Shapes: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Step: TypeAlias = Callable[[Tensor], Tensor]
Steps: TypeAlias = tuple[Step, ...]
"""Applied one after the other; modules of the model, and plain functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a model falls into blocks. The steps share the model's modules."""

    blocks: tuple[Steps, Steps, Steps, Steps, Steps]
    pool: Steps
    """From stage 4's output to features_BF (SqueezeNet's stay BFHW)."""
    head: str
    """Name of the last linear layer in the model, e.g. ``classifier.6``."""
    after: Steps = ()
    """What the library does with that layer's output; nothing but in SqueezeNet."""
    loose: tuple[str, ...] = ()
    """Parameters of the stem that belong to none of its modules."""


def flatten(features: Tensor) -> Tensor:
    """Everything but the batch in one dimension."""
    return torch.flatten(features, 1)


def average(features_BCHW: Tensor) -> Tensor:
    """Features_BC by an adaptive pooling."""
    return torch.flatten(functional.adaptive_avg_pool2d(features_BCHW, 1), 1)


def mean(features_BCHW: Tensor) -> Tensor:
    """Features_BC as :func:`average`, rounded as the models that call ``mean`` do."""
    return features_BCHW.mean([2, 3])


def split(layers: Any, starts: tuple[int, int, int, int]) -> list[Steps]:
    """Cut a Sequential before each index of ``starts``."""
    children = tuple(layers)
    bounds = (0, *starts, len(children))
    return [children[low:high] for low, high in pairwise(bounds)]
