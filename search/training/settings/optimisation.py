"""What a step does with its gradients, and how its rate moves. Torch-free leaf."""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting

OPTIMISERS = ("adamw", "sgd")
"""Values of ``optimiser``."""
LR_SCHEDULES = ("cosine", "linear", "step", "constant", "one_cycle")
"""Values of ``lr_schedule``."""

_STEPPED = ((Condition(param="lr_schedule", values=("step",)),),)

OPTIMISATION = (
    Setting(
        name="optimiser",
        kind="choice",
        default="adamw",
        choices=OPTIMISERS,
        meaning="adamw, or sgd with Nesterov's momentum; sgd wants a higher lr (1e-3 to 1e-1) "
        "and a lower weight_decay (1e-6 to 1e-3)",
        source="Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019 (adamw); "
        "Sutskever et al., On the Importance of Initialization and Momentum in Deep Learning, "
        "ICML 2013 (sgd)",
    ),
    Setting(
        name="momentum",
        kind="float",
        default=0.9,
        low=0.0,
        high=0.999,
        meaning="share of the last step's direction that is kept; 0 is plain sgd",
        acts=((Condition(param="optimiser", values=("sgd",)),),),
        source="Sutskever et al., On the Importance of Initialization and Momentum in Deep "
        "Learning, ICML 2013",
    ),
    Setting(
        name="lr_schedule",
        kind="choice",
        default="cosine",
        choices=LR_SCHEDULES,
        meaning="the rate after warmup: cosine or linear fall to 0; step falls at once, every "
        "step_epochs; constant; one_cycle rises from lr / 25 over warmup (0.3 is usual), then "
        "falls to nearly 0; the momentum is not cycled",
        source="Loshchilov and Hutter, SGDR, ICLR 2017 (cosine, without restarts); He et al., "
        "Deep Residual Learning, CVPR 2016 (step); Smith and Topin, Super-Convergence, 2018, "
        "arXiv:1708.07120 (one_cycle)",
    ),
    Setting(
        name="step_epochs",
        kind="int",
        default=0,
        low=0,
        high=100_000,
        meaning="epochs from one fall of the rate to the next; 0 is a third of all, rounded up",
        unit="epochs",
        acts=_STEPPED,
        source="He et al., Deep Residual Learning, CVPR 2016: 30 of 90 epochs",
    ),
    Setting(
        name="step_factor",
        kind="float",
        default=0.1,
        low=1e-3,
        high=1.0,
        meaning="the rate is multiplied by this at each fall",
        acts=_STEPPED,
        source="He et al., Deep Residual Learning, CVPR 2016",
    ),
    Setting(
        name="clip_norm",
        kind="float",
        default=0.0,
        low=0.0,
        high=1_000.0,
        meaning="gradients of a step are scaled down to this norm, taken over all of them "
        "together; 0 is off, 1 is usual",
        source="Pascanu et al., On the Difficulty of Training Recurrent Neural Networks, ICML 2013",
    ),
    Setting(
        name="micro_batch",
        kind="int",
        default=0,
        low=0,
        high=65_536,
        meaning="images that go through the model at once; their gradients add up to those of "
        "batch_size; 0 is the whole batch; trained batch-norm normalises each part by itself",
        unit="images",
        below="batch_size",
        source="Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv:1706.02677, section 3",
    ),
    Setting(
        name="l1",
        kind="float",
        default=0.0,
        low=0.0,
        high=1.0,
        meaning="each step moves every weight that weight_decay applies to towards 0 by the "
        "rate times this, and not beyond (a proximal step), so some become exactly 0; 0 is off",
        source="Tibshirani, Regression Shrinkage and Selection via the Lasso, JRSS B 1996; Duchi "
        "and Singer, Efficient Online and Batch Learning Using Forward Backward Splitting, "
        "JMLR 2009",
    ),
    Setting(
        name="ema",
        kind="float",
        default=0.0,
        low=0.0,
        high=0.99999,
        meaning="decay of a moving average of what is trained, by step; the averages are what "
        "is evaluated, kept and exported; lower in the first steps; 0 is off, 0.9 to 0.9999 usual",
        source="Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, SIAM "
        "J. Control and Optimization 1992; Tarvainen and Valpola, Mean Teachers, NeurIPS 2017",
    ),
)
