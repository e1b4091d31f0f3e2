"""What stands on the backbone. Torch-free leaf."""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting

HEADS = ("linear", "mlp")
"""Values of ``head``."""

STARTS = ("random", "probe")
"""Values of ``head_init``."""
CONVOLUTIONAL = ("squeezenet*",)
"""What the names of the catalogue's backbones with a head that is no linear layer are like."""

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
    Setting(
        name="head_init",
        kind="choice",
        default="random",
        choices=STARTS,
        meaning="where the head begins: random: at small random values; probe: as a linear "
        "model fitted to the pretrained features first",
        acts=((Condition(param="head", values=("linear",)),),),
        lacking=CONVOLUTIONAL,
        condition="the backbone's last layer is linear",
        source="Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform "
        "Out-of-Distribution, ICLR 2022",
    ),
)
