"""What can happen to an image when it is augmented: a policy, and what replaces its parts.

Torch-free. Strengths are whole numbers, so that trials of equal strength share what
is stored of their views; 0 does nothing and more is stronger. A :class:`Recipe` is
all that determines a distribution of views: equal ones have one name, which is
theirs alone.

- ``none``: the evaluation geometry, nothing random: no recipe, whatever else is set.
- ``light``: crop and horizontal flip.
- ``medium``: light, and rotation, scale and colour.
- ``heavy``, ``trivialaugment``: light, then TrivialAugment (Wide).
- ``randaugment``: light, then RandAugment.
- ``autoaugment``: light, then AutoAugment's policy for ImageNet.
- ``custom``: what ``rotation``, ``scale``, ``crop``, ``flip`` and ``colour`` say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from search.training.config import TrialConfig
from search.training.settings.augmentation import BY_POLICY, OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The distribution of an image's views."""

    rotation: int = 0
    """Degrees, at most, either way; uniform."""
    scale: int = 0
    """Percent, at most, either way: the factor is log-uniform."""
    crop: int = 0
    """Percent of the area that a crop cuts away, at most; uniform. 0: the whole square."""
    flip: str = "none"
    """``none``, ``horizontal``, ``vertical`` or ``both``; each for one half of the images."""
    colour: int = 0
    """Percent by which brightness, contrast and saturation change, at most; uniform."""
    operations: str = "none"
    """``none``, ``trivialaugment``, ``randaugment`` or ``autoaugment``."""
    count: int = 0
    """Of RandAugment's operations."""
    magnitude: int = 0
    """Of RandAugment's operations, in steps of 30."""
    erasing: float = 0.0
    """Probability that a rectangle is erased."""

    @property
    def name(self) -> str:
        """Part of a folder's name: equal for equal recipes alone."""
        for name, recipe in RECIPES.items():
            if recipe == self:
                return name
        facts = json.dumps(asdict(self), sort_keys=True)
        return f"x{hashlib.sha256(facts.encode()).hexdigest()[:24]}"


_LIGHT = Recipe(crop=60, flip="horizontal")
"""Crops keep .4 to 1 of the decoded square. Their mean, .7, is near the share that
evaluation sees (.77 for a crop ratio of .875), so that things have the same apparent
size in both (Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS
2019)."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "light": _LIGHT,
        "medium": replace(_LIGHT, rotation=15, scale=15, colour=20),
        "heavy": replace(_LIGHT, operations="trivialaugment"),
        "trivialaugment": replace(_LIGHT, operations="trivialaugment"),
        "randaugment": replace(_LIGHT, operations="randaugment", count=2, magnitude=9),
        "autoaugment": replace(_LIGHT, operations="autoaugment"),
        "custom": Recipe(),
    }
)
"""Of each policy that draws, with the defaults of its settings."""


def recipe_of(config: TrialConfig) -> Recipe | None:
    """What a trial's settings do to its images; None where nothing is random."""
    if config.augmentation == "none":
        return None
    recipe = RECIPES[config.augmentation]
    if recipe.operations == "randaugment":
        count = config.randaugment_operations
        recipe = replace(recipe, count=count, magnitude=config.randaugment_magnitude)
    return replace(
        recipe,
        rotation=recipe.rotation if config.rotation == OWN else config.rotation,
        scale=recipe.scale if config.scale == OWN else config.scale,
        crop=recipe.crop if config.crop == OWN else config.crop,
        flip=recipe.flip if config.flip == BY_POLICY else config.flip,
        colour=recipe.colour if config.colour == OWN else config.colour,
        erasing=config.erasing,
    )
