"""What stands on the backbone. Torch-free leaf."""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting

HEADS = ("linear", "mlp")
"""Values of ``head``."""

HEAD_SETTINGS = (
    Setting(
        name="head",
        kind="choice",
        default="linear",
        choices=HEADS,
        meaning="linear: one layer on the pooled features; mlp: a hidden layer, GELU and dropout "
        "before it",
        source="Chen et al., A Simple Framework for Contrastive Learning of Visual "
        "Representations, ICML 2020 (a hidden layer on pooled features); Hendrycks and Gimpel, "
        "Gaussian Error Linear Units, 2016",
    ),
    Setting(
        name="head_hidden",
        kind="int",
        default=0,
        low=0,
        high=65_536,
        meaning="width of the head's hidden layer; 0 is as wide as the pooled features",
        unit="units",
        acts=((Condition(param="head", values=("mlp",)),),),
    ),
)
