"""Every metric against scikit-learn's own function."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from search.space.spec import METRICS
from search.training.metrics import metrics


def _case(seed: int, count: int, classes: int, rounded: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    raw = random.gamma(1.0, size=(count, classes)) + np.eye(classes)[labels] * random.random()
    if rounded:  # many ties
        raw = np.round(raw * 4) + 1
    return raw / raw.sum(axis=1, keepdims=True), labels


def _expected(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    macro = {"average": "macro", "zero_division": 0}
    if classes == 2:
        auroc = sk.roc_auc_score(labels, probabilities[:, 1])
    else:
        auroc = np.mean(
            [sk.roc_auc_score(labels == k, probabilities[:, k]) for k in np.unique(labels)]
        )
    return {
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "accuracy": sk.accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, **macro),
        "macro_precision": sk.precision_score(labels, predicted, **macro),
        "macro_recall": sk.recall_score(labels, predicted, **macro),
        "auroc": auroc,
        "loss": sk.log_loss(labels, probabilities, labels=range(classes)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("count", "classes"), [(60, 2), (80, 3), (40, 7), (12, 10)])
def test_every_metric_equals_scikit_learns(count: int, classes: int, rounded: bool) -> None:
    compared = 0
    for seed in range(10):
        probabilities, labels = _case(seed, count, classes, rounded)
        with warnings.catch_warnings():  # classes that occur or are predicted alone
            warnings.simplefilter("ignore")
            expected = _expected(probabilities, labels)
        found = metrics(probabilities, labels)
        assert tuple(found) == METRICS
        assert found == pytest.approx(expected, abs=1e-12)
        compared += 1
    assert compared == 10


def test_multi_class_auroc_is_one_against_the_rest() -> None:
    probabilities, labels = _case(0, 90, 4, False)
    expected = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert metrics(probabilities, labels)["auroc"] == pytest.approx(expected, abs=1e-12)


def test_nothing_warns_and_nothing_is_nan_when_classes_are_missing() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = metrics(probabilities, np.array([0, 0, 0]))
        two = metrics(probabilities, np.array([0, 2, 2]))
    # class 0 alone: 2 of 3 right; precision of 0 is 1, of 2 is 0
    assert one["balanced_accuracy"] == pytest.approx(2 / 3)
    assert one["macro_precision"] == pytest.approx(1 / 2)
    assert one["auroc"] == 0.5
    # class 0 against the rest: .7 > .6, .2, area 1; class 2: (.7, .1) against .1, area (1 + .5) / 2
    assert two["auroc"] == pytest.approx((1 + 0.75) / 2)


def test_a_certain_mistake_has_a_finite_loss() -> None:
    found = metrics(np.array([[1.0, 0.0]], dtype=np.float32), np.array([1]))
    assert found["loss"] == pytest.approx(-np.log(1e-38))


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        pytest.param(np.zeros((0, 2)), np.zeros(0, int), "N >= 1", id="no_image"),
        pytest.param(np.ones((2, 2)), np.zeros(3, int), r"\(2, 2\), \(3,\)", id="lengths"),
        pytest.param(np.full((1, 2), np.nan), np.zeros(1, int), "not finite", id="nan"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    probabilities: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metrics(probabilities, labels)
