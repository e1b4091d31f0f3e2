from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from search.export.bootstrap import draw
from search.export.measuring import calibration_interval, compare, interval, measure
from search.export.report import Comparison, Interval, TestResult
from search.space.spec import METRICS, Metric
from search.training.calibration import calibration
from search.training.metrics import metrics


def _case(
    seed: int, images: int, classes: int, *, skill: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities of a model that is right the more often the higher its skill."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=images)
    scores = rng.normal(size=(images, classes)).round(1)  # rounded, so that ties occur
    scores[np.arange(images), labels] += skill
    odds = np.exp(scores)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels


class _Fixed(np.random.Generator):
    """Draws every image exactly once: the bootstrap's identity."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def integers(self, low, high=None, size=None):  # type: ignore[no-untyped-def]
        return np.broadcast_to(np.arange(low), size)

    def multinomial(self, n, pvals, size=None):  # type: ignore[no-untyped-def]
        return np.broadcast_to(np.rint(n * np.asarray(pvals)).astype(np.int64), (size, len(pvals)))


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 40),
    classes=st.integers(2, 5),
)
@settings(max_examples=40, deadline=None)
def test_a_resample_that_draws_each_image_once_has_the_metric_itself(
    metric: Metric, seed: int, images: int, classes: int
) -> None:
    first, labels = _case(seed, images, classes)
    second, _ = _case(seed + 1, images, classes)
    drawn = draw(metric, [first, second], labels, resamples=3, rng=_Fixed())
    assert drawn.shape == (2, 3)
    for model, probabilities in zip(drawn, (first, second), strict=True):
        assert model == pytest.approx([metrics(probabilities, labels)[metric]] * 3, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_the_interval_is_that_of_resampling_images_within_their_class(
    metric: Metric, classes: int
) -> None:
    found, labels = _case(5, 120, classes)
    rng = np.random.default_rng(1)
    brute = []
    for _ in range(600):
        rows = np.concatenate(
            [
                rng.choice(np.flatnonzero(labels == label), (labels == label).sum())
                for label in range(classes)
            ]
        )
        brute.append(metrics(found[rows], labels[rows])[metric])
    ours = interval(metric, found, labels, seed=0, resamples=2000)
    width = ours.high - ours.low
    assert ours.low < metrics(found, labels)[metric] < ours.high
    assert [ours.low, ours.high] == pytest.approx(
        list(np.quantile(brute, [0.025, 0.975])), abs=0.12 * width
    )


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    truth = 0.8
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 100)
        right = rng.random(200) < truth
        called = np.where(right, labels, 1 - labels)
        found = interval("accuracy", np.eye(2)[called], labels, seed=seed, resamples=400)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / 300 <= 0.99


def test_a_paired_difference_is_narrower_than_two_separate_intervals() -> None:
    first, labels = _case(0, 400, 3)
    second = first.copy()
    second[:10] = first[:10][:, ::-1]  # the same model but for ten images
    found = compare("accuracy", first, second, labels, seed=0)
    alone = interval("accuracy", first, labels, seed=0)
    assert found.interval.high - found.interval.low < 0.5 * (alone.high - alone.low)


@pytest.mark.parametrize("metric", METRICS)
def test_a_model_minus_itself_is_zero_and_within_noise(metric: Metric) -> None:
    found, labels = _case(2, 80, 3)
    same = compare(metric, found, found, labels, seed=0, resamples=200)
    assert same == Comparison(metric=metric, difference=0.0, interval=Interval(low=0, high=0))
    assert same.within_noise
    assert not same.better


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_a_much_better_model_is_better_in_the_metrics_own_direction(metric: Metric) -> None:
    good, labels = _case(2, 300, 3, skill=4)
    poor, _ = _case(2, 300, 3, skill=0.2)
    found = compare(metric, good, poor, labels, seed=0)
    back = compare(metric, poor, good, labels, seed=0)
    assert found.better
    assert not found.within_noise
    assert (found.difference < 0) == (metric == "loss")
    assert not back.better
    assert back.difference == pytest.approx(-found.difference)


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_seed_gives_the_same_interval_and_another_seed_another(metric: Metric) -> None:
    found, labels = _case(3, 100, 3)
    again = [interval(metric, found, labels, seed=seed, resamples=300) for seed in (7, 7, 8)]
    assert again[0] == again[1] != again[2]


def test_per_class_figures_and_confusion_match_a_hand_count() -> None:
    # true a a a b b c, called a a b b c b
    labels = np.array([0, 0, 0, 1, 1, 2])
    called = np.array([0, 0, 1, 1, 2, 1])
    found = measure(np.eye(3)[called], labels, ("a", "b", "c"), seed=0, resamples=50)
    assert found.confusion == ((2, 1, 0), (0, 1, 1), (0, 1, 0))
    assert found.cells == ((0, 0, 2), (0, 1, 1), (1, 1, 1), (1, 2, 1), (2, 1, 1))
    a, b, c = found.classes
    assert (a.precision, a.recall, a.f1, a.support) == (1.0, 2 / 3, 0.8, 3)
    assert (b.precision, b.recall, b.support) == (1 / 3, 1 / 2, 2)  # called b three times
    assert (c.precision, c.recall, c.f1, c.support) == (0.0, 0.0, 0.0, 1)
    assert found.n == 6
    assert tuple(found.metrics) == METRICS
    assert found.metrics == metrics(np.eye(3)[called], labels)


def test_a_class_without_test_images_is_shown_with_zeros() -> None:
    found, labels = _case(0, 30, 2)
    wide = np.concatenate([found, np.zeros((30, 1), dtype=np.float32)], axis=1)
    result = measure(wide, labels, ("a", "b", "c"), seed=0, resamples=50)
    assert (result.classes[2].recall, result.classes[2].support) == (0.0, 0)


def test_a_result_survives_json() -> None:
    found, labels = _case(0, 50, 4)
    result = measure(found, labels, ("a", "=b", "<c>", "d|e"), seed=0, resamples=50)
    assert TestResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    comparison = compare("loss", found, found[:, ::-1], labels, seed=0, resamples=50)
    assert Comparison.from_json(json.loads(json.dumps(comparison.to_json()))) == comparison


@pytest.mark.slow
def test_class_intervals_are_those_of_resampling_images_within_their_class() -> None:
    found, labels = _case(5, 120, 3)
    rng = np.random.default_rng(1)
    brute = []
    for _ in range(600):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in range(3)]
        )
        called = found[rows].argmax(axis=1)
        scores = precision_recall_fscore_support(labels[rows], called, zero_division=0)
        brute.append(np.stack(scores[:3]))
    low, high = np.quantile(brute, [0.025, 0.975], axis=0)
    result = measure(found, labels, ("a", "b", "c"), seed=0)
    whole = precision_recall_fscore_support(labels, found.argmax(axis=1), zero_division=0)
    for k, each in enumerate(result.classes):
        assert (each.precision, each.recall, each.f1) == pytest.approx(
            [part[k] for part in whole[:3]]
        )
        assert each.intervals is not None
        for row, spread in enumerate(each.intervals):
            wide = 0.15 * (high[row, k] - low[row, k])
            assert [spread.low, spread.high] == pytest.approx([low[row, k], high[row, k]], abs=wide)


@pytest.mark.slow
def test_the_calibration_interval_takes_off_most_of_what_few_images_add_to_the_error() -> None:
    # A model that is right as often as it says: its true error is 0 wherever it is measured.
    lows, errors = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sure = rng.uniform(0.5, 1.0, 300)
        labels = (rng.random(300) > sure).astype(np.int64)
        found = np.stack([sure, 1 - sure], axis=1)
        spread = calibration_interval(found, labels, seed=seed, resamples=300)
        errors.append(calibration(found, labels).error)
        lows.append(spread.low)
    assert np.mean(errors) > 0.03  # of 300 images
    assert np.mean(lows) < 0.2 * np.mean(errors)


def test_results_of_earlier_versions_are_still_read() -> None:
    found, labels = _case(0, 50, 3)
    document = measure(found, labels, ("a", "b", "c"), seed=0, resamples=50).to_json()
    del document["calibration"]
    document["classes"] = [row[:5] for row in document["classes"]]
    earlier = TestResult.from_json(document)
    assert (earlier.calibration, earlier.calibration_interval) == (None, None)
    assert [each.intervals for each in earlier.classes] == [None] * 3
    assert earlier.to_json() == document


@pytest.mark.slow
def test_2000_resamples_of_10000_images_take_less_than_a_second() -> None:
    found, labels = _case(0, 10_000, 10)
    began = time.process_time()
    compare("balanced_accuracy", found, found[::-1], labels, seed=0, resamples=2000)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("probabilities", "labels", "fact"),
    [
        pytest.param(np.zeros((0, 2)), np.zeros(0, dtype=int), "at least one label", id="empty"),
        pytest.param(np.full((2, 3), 0.3), np.array([0, 1]), r"got \(2, 3\)", id="classes"),
        pytest.param(np.full((1, 2), 0.5), np.array([2]), r"range\(2\)", id="label"),
        pytest.param(np.array([[np.nan, 0.5]]), np.array([0]), "finite", id="nan"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], fact: str
) -> None:
    with pytest.raises(ValueError, match=fact):
        measure(probabilities, labels, ("a", "b"), seed=0)


@pytest.mark.slow
def test_reports_results_and_cards_need_no_torch() -> None:
    code = (
        "import sys, search.export.report, search.export.results, search.export.card, "
        "search.export.pixels; assert not {'torch', 'sklearn', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
