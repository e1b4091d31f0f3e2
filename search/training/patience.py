"""When a trial ends itself, because its own validation gets no better. Pure; torch-free.

Nothing is compared with other trials: that is the scheduler's. A function of the
curve alone, so a trial that goes on comes to the same end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.space.figure import metric as shown
from search.space.spec import Metric, PatienceSpec
from search.training.report import EpochReport


def worn_out(
    curve: Sequence[EpochReport],
    patience: PatienceSpec,
    *,
    objective: Metric,
    maximize: bool,
    full_depth: int,
) -> str:
    """Why a trial ends after the last epoch of its curve; empty where it goes on.

    Args:
        curve: All epochs so far, in order.
        patience: Which metric, and for how many epochs it may fail to improve.
        objective: Of the study.
        maximize: Its direction; the loss is minimized.
        full_depth: The first epoch in which all blocks of the trial are trained. Epochs
            before it are not counted: what comes after them may do better.

    Returns:
        E.g. ``loss has not improved for 3 epochs: 0.412 at epoch 4``.
    """
    metric: Metric = "loss" if patience.metric == "loss" else objective
    sign = -1.0 if metric == "loss" or not maximize else 1.0
    best, best_epoch = -math.inf, 0
    for report in curve:
        value = sign * report.metrics[metric]
        if value > best:  # an equal value is no improvement, and NaN none
            best, best_epoch = value, report.epoch
    since = len(curve) - max(best_epoch, full_depth - 1)
    if since < patience.epochs:
        return ""
    count = f"{since} epoch{'' if since == 1 else 's'}"
    return (
        f"{metric} has not improved for {count}: {shown(sign * best, metric)} at epoch {best_epoch}"
    )
