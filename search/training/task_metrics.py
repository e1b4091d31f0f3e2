"""The metrics of each task, from what a model said. numpy alone. N images, K outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.targets import Targets
from search.space.spec import METRICS_OF, Task
from search.training.metrics import metrics
from search.training.multilabel import multilabel_metrics


def task_metrics(
    task: Task,
    said_NK: NDArray[np.floating],
    targets: Targets,
    thresholds: Sequence[float] | None = None,
) -> dict[str, float]:
    """Every metric of ``METRICS_OF[task]`` by name, in that order.

    Args:
        task: What is learnt.
        said_NK: What the model said: probabilities, or values in their unit [N, 1].
        targets: Of the same images.
        thresholds: Of each class (multilabel alone); None is 0.5 for all.

    Raises:
        ValueError: If shapes disagree, there is no image, or a value is not finite.
    """
    if task == "multiclass":
        return metrics(said_NK, targets)
    shape = (len(targets), 1) if task == "regression" else targets.shape
    if said_NK.shape != shape or not len(targets):
        raise ValueError(f"need {shape} with at least one image, got {said_NK.shape}")
    if not np.isfinite(said_NK).all():
        raise ValueError("what the model said is not finite")
    if task == "multilabel":
        limits = None if thresholds is None else np.asarray(thresholds)
        values = multilabel_metrics(said_NK, targets, limits)
    else:
        values = regression_metrics(said_NK[:, 0], targets)
    return {name: values[name] for name in METRICS_OF[task]}


def regression_metrics(
    said_N: NDArray[np.floating], targets_N: NDArray[np.floating]
) -> dict[str, float]:
    """Metrics of values, in their unit.

    Returns:
        - ``mae``: mean absolute error; ``rmse``: root of the mean squared error.
        - ``r2``: share of the targets' variance that is explained; below 0 when the
          mean of these very targets would do better. As scikit-learn, of targets that
          are all equal: 1 where every value is right, else 0.
        - ``loss``: mean squared error, in the unit squared.
    """
    targets = np.asarray(targets_N, dtype=np.float64)
    errors = np.asarray(said_N, dtype=np.float64) - targets
    squared = float(np.square(errors).mean())
    variance = float(np.square(targets - targets.mean()).mean())
    return {
        "mae": float(np.abs(errors).mean()),
        "rmse": squared**0.5,
        "r2": 1.0 - squared / variance if variance > 0 else float(squared == 0),
        "loss": squared,
    }
