"""Calibration and what is said of validation images, against scikit-learn and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, log_loss

from search.training.calibration import BINS, Calibration, calibration
from search.training.judged import WORST, judged


def drawn(seed: int, images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    odds = np.exp(2 * rng.normal(size=(images, classes)))
    labels = rng.integers(classes, size=images)
    return odds / odds.sum(axis=1, keepdims=True), labels


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), images=st.integers(1, 200), classes=st.integers(2, 6))
def test_the_bins_are_scikit_learns(seed: int, images: int, classes: int) -> None:
    found_NK, labels_N = drawn(seed, images, classes)
    ours = calibration(found_NK, labels_N)
    right, confidence = found_NK.argmax(axis=1) == labels_N, found_NK.max(axis=1)
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    some = np.array(ours.images) > 0
    assert np.array(ours.accuracy)[some] == pytest.approx(accuracy)
    assert np.array(ours.confidence)[some] == pytest.approx(mean, rel=1e-5)
    gaps = np.abs(accuracy - mean) * np.array(ours.images)[some] / images
    assert ours.error == pytest.approx(gaps.sum(), abs=1e-6)
    assert sum(ours.images) == images
    assert Calibration.from_json(json.loads(json.dumps(ours.to_json()))) == ours


def test_the_error_by_hand() -> None:
    # bins of a half: .6 and .8 share one: |.7 - .5| * 2; 1.0 is right: 0 more, in the same bin
    found_NK = np.array([[0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    ours = calibration(found_NK, np.array([0, 0, 1]), bins=2)
    # (0, .5]: one image of confidence .5, wrong; (.5, 1]: mean .7, half right
    assert ours.images == (1, 2)
    assert ours.error == pytest.approx((0.5 * 1 + abs(0.7 - 0.5) * 2) / 3)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), images=st.integers(1, 60), classes=st.integers(2, 5))
def test_what_is_said_of_validation_images(seed: int, images: int, classes: int) -> None:
    found_NK, labels_N = drawn(seed, images, classes)
    said = judged(3, found_NK, labels_N)
    assert json.loads(json.dumps(said)) == said
    matrix = np.zeros((classes, classes), dtype=int)
    for true, called, count in said["cells"]:
        matrix[true, called] = count
    called_N = found_NK.argmax(axis=1)
    expected = confusion_matrix(labels_N, called_N, labels=range(classes))
    assert np.array_equal(matrix, expected)
    wrong = np.flatnonzero(called_N != labels_N)
    assert len(said["worst"]) == min(WORST, len(wrong))
    losses = [each["loss"] for each in said["worst"]]
    assert losses == sorted(losses, reverse=True)
    for each in said["worst"]:
        image = each["image"]
        alone = log_loss([labels_N[image]], [found_NK[image].astype(float)], labels=range(classes))
        assert each["loss"] == pytest.approx(alone, rel=1e-4)
        assert (each["true"], each["called"]) == (labels_N[image], called_N[image])
        assert each["probability_of_called"] == pytest.approx(found_NK[image].max())
