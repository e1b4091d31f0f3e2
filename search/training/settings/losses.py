"""What a trial minimises, and what it does about rare classes. Torch-free leaf."""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting
from search.space.spec import LOSSES_OF, TASKS

LOSSES = ("auto", *dict.fromkeys(loss for task in TASKS for loss in LOSSES_OF[task]))
"""Losses of all tasks."""

IMBALANCE = ("none", "weights", "sampler", "auto")
"""What can be done about classes with few images."""

LOSS_SETTINGS = (
    Setting(
        name="loss",
        kind="choice",
        default="auto",
        choices=LOSSES,
        meaning="one class an image: cross_entropy, or focal, in which images that are nearly "
        "right count less; several: bce (binary cross-entropy of each class), or focal; "
        "numbers: mse, mae or huber (squared up to huber_delta, then absolute); auto is the first "
        "of the task's",
        source="Lin, Goyal, Girshick, He and Dollar, Focal Loss for Dense Object Detection, "
        "ICCV 2017",
    ),
    Setting(
        name="focal_gamma",
        kind="float",
        default=2.0,
        low=0.0,
        high=10.0,
        meaning="how much less: an image whose class has probability p counts (1 - p) to this "
        "power; 0 is cross_entropy",
        acts=((Condition(param="loss", values=("focal",)),),),
        source="Lin, Goyal, Girshick, He and Dollar, Focal Loss for Dense Object Detection, "
        "ICCV 2017",
    ),
    Setting(
        name="huber_delta",
        kind="float",
        default=1.0,
        low=0.01,
        high=10.0,
        meaning="the error from which huber grows as mae does; up to it half the squared error "
        "counts; the smaller, the less a wrong label pulls",
        unit="standard deviations of the target",
        acts=((Condition(param="loss", values=("huber",)),),),
        source="Huber, Robust Estimation of a Location Parameter, Annals of Mathematical "
        "Statistics 1964",
    ),
    Setting(
        name="class_imbalance",
        kind="choice",
        default="none",
        choices=IMBALANCE,
        meaning="one class an image: weights (in the loss, by 1 / images of the class), sampler "
        "(as many images of each class in an epoch), auto (by the counts: none below 2 times as "
        "many images of the largest class as of the smallest, weights up to 10 times, sampler "
        "above) or none; several: weights (in the loss, an image in a class by images not in "
        "it / in it, up to 100), auto (none below 2 times, weights from there) or none",
        condition="the task is not regression",
        source="Buda, Maki and Mazurowski, A systematic study of the class imbalance problem in "
        "convolutional neural networks, Neural Networks 2018",
    ),
)
