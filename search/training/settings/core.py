"""The settings that nearly every search varies. Torch-free leaf."""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting

POLICIES = (
    "none",
    "light",
    "medium",
    "heavy",
    "trivialaugment",
    "randaugment",
    "autoaugment",
    "custom",
)
"""Augmentation policies; ``training/recipe.py`` says what they are."""

DRAWN = (
    (Condition(param="augmentation", values=tuple(name for name in POLICIES if name != "none")),),
)
"""Where anything about an image is random: under every policy but ``none``."""

STILL = (
    Condition(param="augmentation", values=("custom",)),
    *(Condition(param=name, values=(-1, 0)) for name in ("rotation", "scale", "crop", "colour")),
    Condition(param="flip", values=("policy", "none")),
    Condition(param="erasing", values=(0.0,)),
)
"""Where nothing is, under a policy that could: ``custom`` without a strength."""

OWN_SIZE = 0
"""``image_size`` of 0 means the backbone's own size."""

CORE = (
    Setting(
        name="backbone",
        kind="backbone",
        default="resnet50",
        meaning="pretrained body, a name of the catalogue",
    ),
    Setting(
        name="image_size",
        kind="int",
        default=OWN_SIZE,
        low=OWN_SIZE,
        high=1024,
        meaning="side of the square input in pixels; 0 is the backbone's own",
        unit="pixels",
        source="Touvron et al., Fixing the Train-Test Resolution Discrepancy, NeurIPS 2019",
    ),
    Setting(
        name="unfreeze_depth",
        kind="int",
        default=1,
        low=0,
        high=5,
        meaning="blocks trained, counted from the head; 0 trains the head alone",
        unit="blocks",
        source="Yosinski et al., How Transferable Are Features in Deep Neural Networks?, NIPS 2014",
    ),
    Setting(
        name="lr",
        kind="float",
        default=1e-3,
        low=1e-8,
        high=10.0,
        meaning="learning rate of the new head at its peak",
    ),
    Setting(
        name="backbone_lr_scale",
        kind="float",
        default=0.1,
        low=0.0,
        high=10.0,
        meaning="trained blocks learn at lr times this",
        acts=((Condition(param="unfreeze_depth", min=1),),),
        source="Howard and Ruder, Universal Language Model Fine-tuning for Text "
        "Classification, ACL 2018",
    ),
    Setting(
        name="dropout",
        kind="float",
        default=0.2,
        low=0.0,
        high=0.95,
        meaning="probability of dropping a feature before the head",
        source="Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks "
        "from Overfitting, JMLR 2014",
    ),
    Setting(
        name="weight_decay",
        kind="float",
        default=1e-2,
        low=0.0,
        high=10.0,
        meaning="pull of weights towards 0, not of norms and biases: decoupled with adamw, L2 in "
        "the gradient with sgd",
        source="Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019",
    ),
    Setting(
        name="label_smoothing",
        kind="float",
        default=0.0,
        low=0.0,
        high=0.9,
        meaning="share of each target spread over all classes",
        condition="the task is not regression",
        source="Szegedy et al., Rethinking the Inception Architecture for Computer "
        "Vision, CVPR 2016",
    ),
    Setting(
        name="warmup",
        kind="float",
        default=0.1,
        low=0.0,
        high=0.9,
        meaning="share of all steps in which the rate rises linearly from 0",
        source="Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 "
        "Hour, 2017, arXiv:1706.02677",
    ),
    Setting(
        name="augmentation",
        kind="choice",
        default="light",
        choices=POLICIES,
        meaning="none, light (crop, flip), medium (and rotation, scale, colour), heavy "
        "(TrivialAugment), trivialaugment, randaugment, autoaugment, or custom: only what the "
        "strengths below say",
        source="Müller and Hutter, TrivialAugment: Tuning-free Yet State-of-the-Art Data "
        "Augmentation, ICCV 2021; Cubuk et al., RandAugment, NeurIPS 2020; Cubuk et al., "
        "AutoAugment: Learning Augmentation Strategies from Data, CVPR 2019",
    ),
    Setting(
        name="views",
        kind="int",
        default=0,
        low=0,
        high=100_000,
        meaning="augmented versions per image; epoch e uses view e mod "
        "views; 0 is one for each epoch",
        unit="views",
        acts=DRAWN,
        rests=(STILL,),
    ),
    Setting(
        name="batch_size",
        kind="int",
        default=32,
        low=1,
        high=65_536,
        meaning="images per step",
        unit="images",
    ),
)
