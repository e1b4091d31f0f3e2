"""scikit-learn's linear models for each task: what the linear probe is made of.

N images, F features, K outputs, C inverse strength.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.data.targets import Targets
from search.space.spec import Task

Floats: TypeAlias = NDArray[np.float32]
Says: TypeAlias = Callable[[Floats], NDArray[np.floating]]
"""Features [N, F] -> what is said of the images, [N, K]: float32 probabilities or
float64 values."""

NAMES: dict[Task, str] = {
    "multiclass": "logistic regression",
    "multilabel": "logistic regression for each class",
    "regression": "ridge regression",
}
_ITERATIONS = 1_000
_MANY_CLASSES = "The number of unique classes is greater than 50% of the number of samples"
"""What scikit-learn says of two images a class: that they may be numbers. They are not."""


def fitted(task: Task, features_NF: Floats, targets: Targets, *, outputs: int, c: float) -> Says:
    """A linear model of some images.

    Args:
        task: What is learnt.
        features_NF: Standardised.
        targets: Of the same images.
        outputs: K.
        c: Inverse strength of the regularisation, > 0; of a ridge, 1 / alpha.
    """
    if task == "regression":
        return _ridge(features_NF, targets, c)
    if task == "multiclass":
        return _logistic(features_NF, targets, outputs, c)
    each = [_one_class(features_NF, targets[:, k] > 0.5, c) for k in range(outputs)]
    return lambda found_NF: np.concatenate([says(found_NF) for says in each], axis=1)


def _ridge(features_NF: Floats, targets_N: Targets, c: float) -> Says:
    from sklearn.linear_model import Ridge

    # In float64: float32 loses the digits of values far from 0.
    model = Ridge(alpha=1.0 / c).fit(features_NF.astype(np.float64), targets_N)
    return lambda found_NF: np.asarray(model.predict(found_NF.astype(np.float64)))[:, None]


def _one_class(features_NF: Floats, positive_N: NDArray[np.bool_], c: float) -> Says:
    """Its probability; that of all images where they are all in it, or none is."""
    if positive_N.all() or not positive_N.any():
        share = float(positive_N.mean())
        return lambda found_NF: np.full((len(found_NF), 1), share, dtype=np.float32)
    says = _logistic(features_NF, positive_N.astype(np.int64), 2, c)
    return lambda found_NF: says(found_NF)[:, 1:]


def _logistic(features_NF: Floats, labels_N: Targets, classes: int, c: float) -> Says:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", _MANY_CLASSES, UserWarning)
        model.fit(features_NF, labels_N)

    def says(found_NF: Floats) -> Floats:
        full_NK = np.zeros((len(found_NF), classes), dtype=np.float32)  # 0 for a class not there
        full_NK[:, model.classes_] = model.predict_proba(found_NF)
        return full_NK

    return says
