"""What is known of a backbone without building it. Torch-free leaf."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
class OtherWeights:
    """Pretrained weights that ``weights: {tags: ...}`` can name instead of the usual ones."""

    tag: str
    """The library's name of them, e.g. ``IMAGENET1K_V1``."""
    image_size: int
    """Side of the square that they were trained or evaluated at, pixels."""
    preprocessing: Preprocessing
    url: str
    sha256_prefix: str
    licence: str


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
    alternatives: tuple[OtherWeights, ...] = ()
    """In the library's order; the usual weights are not among them."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Of all weights of it, the usual ones first."""
        return (self.weights, *(other.tag for other in self.alternatives))

    def with_weights(self, tag: str) -> BackboneInfo:
        """The row as it is where the weights of ``tag`` are the usual ones.

        Raises:
            ValueError: If it has no weights of that name.
        """
        if tag == self.weights:
            return self
        for other in self.alternatives:
            if other.tag == tag:
                return replace(
                    self,
                    size=replace(self.size, default=other.image_size),
                    preprocessing=other.preprocessing,
                    weights=tag,
                    url=other.url,
                    sha256_prefix=other.sha256_prefix,
                    licence=other.licence,
                    alternatives=(),
                )
        raise ValueError(f"{self.name} has no weights {tag!r}, only {self.tags}")
