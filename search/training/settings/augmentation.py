"""What happens to a training image, beside the policy. Torch-free leaf.

The policy, ``augmentation``, says what happens; each of the strengths here replaces
its own part of that, whatever the policy. ``augmentation: custom`` has no parts of its
own. So ``{augmentation: trivialaugment, flip: none}`` says what it does, and a space
can vary one strength and leave the rest to the policy.
"""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting
from search.training.settings.core import DRAWN

OWN = -1
"""A strength of -1 is the policy's own."""
BY_POLICY = "policy"
"""``flip`` of the policy's own."""
FLIPS = (BY_POLICY, "none", "horizontal", "vertical", "both")
"""Values of ``flip``."""
OPERATIONS_MOST = 4
"""The most operations of RandAugment on one image."""
MAGNITUDE_MOST = 30
"""The strongest magnitude of RandAugment, of 31."""
CROP_MOST = 92
"""The strongest crop, in percent: Inception's keeps 8 of the area."""

_BY_RANDAUGMENT = ((Condition(param="augmentation", values=("randaugment",)),),)
_RANDAUGMENT = (
    "Cubuk et al., RandAugment: Practical automated data augmentation with a reduced search "
    "space, NeurIPS 2020"
)
_INCEPTION = "Szegedy et al., Going Deeper with Convolutions, CVPR 2015"

AUGMENTATION = (
    Setting(
        name="randaugment_operations",
        kind="int",
        default=2,
        low=1,
        high=OPERATIONS_MOST,
        meaning="operations that are applied to an image, one after the other",
        unit="operations",
        acts=_BY_RANDAUGMENT,
        source=_RANDAUGMENT,
    ),
    Setting(
        name="randaugment_magnitude",
        kind="int",
        default=9,
        low=0,
        high=MAGNITUDE_MOST,
        meaning="strength of each operation, in discrete steps; 0 is the weakest",
        unit="steps of 30",
        acts=_BY_RANDAUGMENT,
        source=_RANDAUGMENT,
    ),
    Setting(
        name="rotation",
        kind="int",
        default=OWN,
        low=OWN,
        high=180,
        meaning="largest turn either way, 0 for none; -1 is the policy's own (medium: 15)",
        unit="degrees",
        acts=DRAWN,
    ),
    Setting(
        name="scale",
        kind="int",
        default=OWN,
        low=OWN,
        high=100,
        meaning="largest enlargement or reduction, 0 for none; -1 is the policy's own (medium: 15)",
        unit="percent",
        acts=DRAWN,
    ),
    Setting(
        name="crop",
        kind="int",
        default=OWN,
        low=OWN,
        high=CROP_MOST,
        meaning="largest share of the area that a random crop cuts away, 0 for the whole image; "
        "-1 is the policy's own (60; custom: 0)",
        unit="percent",
        acts=DRAWN,
        source=_INCEPTION,
    ),
    Setting(
        name="flip",
        kind="choice",
        default=BY_POLICY,
        choices=FLIPS,
        meaning="which way half of the images are mirrored: none, horizontal, vertical or both, "
        "each for itself; policy is the policy's own (horizontal; custom: none)",
        acts=DRAWN,
    ),
    Setting(
        name="colour",
        kind="int",
        default=OWN,
        low=OWN,
        high=100,
        meaning="largest change of brightness, contrast and saturation, 0 for none; -1 is the "
        "policy's own (medium: 20)",
        unit="percent",
        acts=DRAWN,
        source=_INCEPTION,
    ),
    Setting(
        name="erasing",
        kind="float",
        default=0.0,
        low=0.0,
        high=1.0,
        meaning="probability that a rectangle of a view, 2 to 33 % of it, becomes the mean colour",
        acts=DRAWN,
        source="Zhong et al., Random Erasing Data Augmentation, AAAI 2020",
    ),
)
