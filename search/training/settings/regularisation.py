"""What keeps a model from learning its training images by heart. Torch-free leaf.

Beside ``dropout``, ``label_smoothing`` and ``weight_decay``, which are in ``core.py``.
"""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting

OWN_DEPTH = -1.0
"""``stochastic_depth`` of less than 0 is the architecture's own."""

WITHOUT_STOCHASTIC_DEPTH = (
    *("alexnet", "densenet*", "googlenet", "inception_v3", "mnasnet*", "mobilenet*", "regnet*"),
    *("resnet*", "resnext*", "shufflenet*", "squeezenet*", "vgg*", "vit_*", "wide_resnet*"),
)
"""What the names of torchvision's backbones without it are like; a test compares. timm's
are not told by their names."""

REGULARISATION = (
    Setting(
        name="mixup",
        kind="float",
        default=0.0,
        low=0.0,
        high=2.0,
        meaning="alpha of mixup: each batch is blended with itself, moved on by one, in shares "
        "from Beta(alpha, alpha); 0 is off; frozen blocks then compute every training batch",
        source="Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018",
    ),
    Setting(
        name="cutmix",
        kind="float",
        default=0.0,
        low=0.0,
        high=2.0,
        meaning="alpha of CutMix: a rectangle of each image comes from the one before it in its "
        "batch, its area from Beta(alpha, alpha); 0 is off; with mixup too, each batch has one of "
        "both; frozen blocks then compute every training batch",
        source="Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with "
        "Localizable Features, ICCV 2019",
    ),
    Setting(
        name="stochastic_depth",
        kind="float",
        default=OWN_DEPTH,
        low=OWN_DEPTH,
        high=0.9,
        meaning="probability of skipping the last residual layer for an image while it is "
        "trained, falling linearly to 0 at the first; below 0 is the architecture's own",
        acts=((Condition(param="unfreeze_depth", min=1),),),
        lacking=WITHOUT_STOCHASTIC_DEPTH,
        condition="the backbone has it (EfficientNet, ConvNeXt, Swin, MaxViT, most of timm)",
        source="Huang et al., Deep Networks with Stochastic Depth, ECCV 2016",
    ),
)
