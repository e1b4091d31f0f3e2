"""What is known of a backbone without building it. Torch-free leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from search.space.settings import SizeRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How an image becomes the input that the weights were trained on."""

    mean: tuple[float, float, float]
    """Per RGB channel on a 0..1 scale."""
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]
    crop_ratio: float
    """Side of the evaluated centre crop over the resized short side, (0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedWeights:
    """Weights that ship inside an installed Python package."""

    module: str
    """Import name of the package."""
    file: str
    """Path inside the package."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """One row of the catalogue."""

    name: str
    library: Literal["torchvision", "timm"]
    library_name: str
    """The name that the library's own constructor takes."""
    size: SizeRule
    preprocessing: Preprocessing
    parameters: int
    """Trainable parameters with the original head."""
    weights: str
    """Tag of the pretrained weights, e.g. ``IMAGENET1K_V2``."""
    url: str = ""
    """Where the library downloads them from; empty for packaged weights."""
    sha256_prefix: str = ""
    """First hex digits of the file's sha256, from the file's name."""
    packaged: PackagedWeights | None = None
    licence: str = ""
