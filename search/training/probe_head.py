"""``head_init: probe``: the head begins as a linear model of the pretrained features.

A head of random values sends large, aimless gradients into the blocks behind it, and
needs epochs to become what a linear model is after a second. Here that linear model is
fitted first: the trial's own loss over the train images as evaluation sees them, on
pooled features of the pretrained body. Frozen blocks' output comes from the store; the
batch-norm statistics that training moves have seen the train images before. Its strength
of regularisation is the one with the least loss on validation.

Source: Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", ICLR 2022 (LP-FT). Deviation: the probe is fitted by L-BFGS on
unaugmented images instead of being trained; statistics of batch-norm as in Li et al.,
"Revisiting Batch Normalization for Practical Domain Adaptation", ICLR workshop 2017.
N images, F features, K outputs, C inverse strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.backbones.stages import BLOCKS
from search.data.images import Part
from search.training.faults import Diverged
from search.training.inputs import EVALUATION
from search.training.losses import Loss
from search.training.prefix import chunk_size, padded, precision
from search.training.run import Run
from search.training.trained import set_mode

STRENGTHS = tuple(10.0**power for power in range(-5, 3))
"""C, strongest regularisation first, as the linear probe of the report has them."""
MOST = 5_000
"""Images of a part that are used at most: a start needs no more, and training follows."""
_STEPS = 50
"""L-BFGS iterations for each strength; each begins where the one before it ended."""
_PAIRS = 10
"""Of steps and gradients that L-BFGS keeps, each as large as the head."""
_FLAT = 1e-6
"""A standard deviation below which a feature is taken for constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A linear model of features as they are, not standardised."""

    weight_KF: Tensor
    bias_K: Tensor | None
    strength: float
    """The chosen C."""


def begin_as_probe(run: Run) -> str:
    """Give a trial that has not begun the head that a linear model of its features is.

    Args:
        run: Set up for its first epoch; its head's values, and their average where it
            has one, are replaced.

    Returns:
        What was done, in a sentence.
    """
    layer, config = run.staged.top, run.config
    if not isinstance(layer, nn.Linear):
        return f"head_init: probe does nothing: the head of {config.backbone} is no linear layer"
    _adapt(run)
    train, val = (_part(run, part) for part in ("train", "val"))
    set_mode(run.staged, config, run.depth, training=True)
    found = linear_model(
        train, val, loss=run.loss, outputs=run.staged.classes, bias=layer.bias is not None
    )
    with torch.no_grad():
        layer.weight.copy_(found.weight_KF)
        if found.bias_K is not None:
            layer.bias.copy_(found.bias_K)
    if run.ema is not None:
        run.ema.begin()
    return (
        f"its head begins as a linear model of the pretrained features of {len(train[0])} "
        f"training images (C {found.strength:g})"
    )


def linear_model(
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    *,
    loss: Loss,
    outputs: int,
    bias: bool = True,
    strengths: Sequence[float] = STRENGTHS,
) -> Fitted:
    """Minimise the mean loss over train + |W|^2 / (2 C N), for the C that suits val.

    W is of standardised features, as in the linear probe; it is given back for features
    as they are. Strengths are tried in their order until the loss on val is no longer
    less.

    Args:
        train: Features [N, F] float32 and what the loss takes for them.
        val: The same of other images.
        loss: One number an image.
        outputs: K.
        bias: Whether the layer has one; without it features are not centred.
        strengths: C, each > 0, at least one.

    Raises:
        Diverged: If features are not finite.
    """
    features_NF, targets = train
    mean_F = features_NF.mean(dim=0) if bias else torch.zeros_like(features_NF[0])
    std_F = features_NF.std(dim=0, correction=0)
    std_F = torch.where(std_F < _FLAT, torch.ones_like(std_F), std_F)
    standard_NF, judged_NF = (features_NF - mean_F) / std_F, (val[0] - mean_F) / std_F
    if not all(bool(part.isfinite().all()) for part in (standard_NF, judged_NF)):
        raise Diverged("the pretrained features are not finite")
    weight_KF = features_NF.new_zeros((outputs, features_NF.shape[1])).requires_grad_()
    bias_K = features_NF.new_zeros(outputs).requires_grad_(bias)
    best: Fitted | None = None
    least = float("inf")
    for strength in strengths:
        decay = 1.0 / (2.0 * strength * len(features_NF))
        with torch.enable_grad():
            _minimise(standard_NF, targets, weight_KF, bias_K, loss=loss, decay=decay)
        with torch.no_grad():
            judged = float(loss(torch.addmm(bias_K, judged_NF, weight_KF.T), val[1]).mean())
            if not judged < least:  # nor where it is not finite
                break
            least = judged
            plain_KF = weight_KF / std_F
            best = Fitted(
                weight_KF=plain_KF,
                bias_K=bias_K - plain_KF @ mean_F if bias else None,
                strength=strength,
            )
    assert best is not None  # of zeros, any loss is finite, and the first only improves on them
    return best


def _minimise(
    features_NF: Tensor,
    targets: Tensor,
    weight_KF: Tensor,
    bias_K: Tensor,
    *,
    loss: Loss,
    decay: float,
) -> None:
    """Change weight and bias in place."""
    learnt = [each for each in (weight_KF, bias_K) if each.requires_grad]
    solver = torch.optim.LBFGS(
        learnt,
        max_iter=_STEPS,
        history_size=_PAIRS,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def cost() -> Tensor:
        solver.zero_grad()
        outputs_NK = torch.addmm(bias_K, features_NF, weight_KF.T)
        total = loss(outputs_NK, targets).mean() + decay * weight_KF.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(cost)  # type: ignore[no-untyped-call]


def _adapt(run: Run) -> None:
    """Make the batch-norm statistics that will move those of the train images; the model is
    in eval mode then. Training normalises by its batches, which are not what the weights
    were trained on: a model of what they give otherwise would not fit from the first step."""
    staged, config = run.staged, run.config
    set_mode(staged, config, run.depth, training=True)
    moving = [m for m in staged.model.modules() if isinstance(m, _BatchNorm) and m.training]
    set_mode(staged, config, run.depth, training=False)
    rows = _rows(run, "train")
    if not moving or len(rows) == 1:  # one image may have one value a channel, and no spread
        return
    momenta = [layer.momentum for layer in moving]
    for layer in moving:
        layer.reset_running_stats()
        layer.momentum, layer.training = None, True  # the mean over all batches
    size = max(2, config.at_once)
    for at in range(0, len(rows), size):
        some = rows[at : at + size]
        if len(some) > 1:
            _features(run, "train", some)
    for layer, momentum in zip(moving, momenta, strict=True):
        layer.momentum, layer.training = momentum, False


def _part(run: Run, part: Part) -> tuple[Tensor, Tensor]:
    """Pooled features [N, F] of a part's images as evaluation sees them, and targets."""
    rows, size = _rows(run, part), chunk_size(run.device)
    found = []
    for at in range(0, len(rows), size):
        some = rows[at : at + size]
        found.append(_features(run, part, padded(some, size))[: len(some)])
    targets = run.data.readout.learnt(run.data.part(part).labels[rows]).to(run.device)
    return torch.cat(found), targets


def _features(run: Run, part: Part, rows: NDArray[np.int64]) -> Tensor:
    """[B, F] float32 of some images, through the frozen blocks and those that will learn."""
    features = run.prefix(part, rows, EVALUATION)
    if run.frozen < len(BLOCKS):
        with torch.no_grad(), precision(run.device):
            features = run.staged.pool(run.staged.forward_blocks(features, run.frozen))
    return features.float()


def _rows(run: Run, part: Part) -> NDArray[np.int64]:
    """All of a part, or a draw where there are too many: the same for every trial."""
    examples = run.data.part(part)
    rows = np.arange(len(examples), dtype=np.int64)
    if len(rows) > MOST:
        random = np.random.default_rng(run.config.augmentation_seed)
        rows = np.sort(random.choice(rows, MOST, replace=False))
    if run.frozen == 0:  # else features may be at hand, and no image is looked at
        examples.expect(rows)
    return rows
