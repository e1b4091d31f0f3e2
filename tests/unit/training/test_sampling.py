"""Classes with few images: what they count, how often they come, and who decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.data.cache import Room
from search.training.config import TrialConfig
from search.training.fit import fit
from search.training.inputs import Examples, TrialData
from search.training.sampling import (
    MOST_WEIGHT,
    balance_of,
    balanced_order,
    class_counts,
    class_weights,
    order,
    said,
    side_weights,
)
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth
from tests.unit.training.conftest import STILL, make_data

Other = Callable[..., TrialConfig]
Curve = Callable[..., list[tuple[int, float, tuple[float, ...]]]]


def uneven(train: int = 40, rare: int = 4) -> TrialData:
    """Class 0 has nearly all training images, classes 1 and 2 ``rare`` each."""
    data = make_data(train=3 * train)
    labels = data.train.labels
    rows = np.concatenate(
        [np.flatnonzero(labels == 0), *(np.flatnonzero(labels == k)[:rare] for k in (1, 2))]
    )
    part = data.train
    train_part = Examples(
        images=part.images, rows=part.rows[rows], labels=labels[rows], keys=part.keys[rows]
    )
    return TrialData(train=train_part, val=data.val)


@pytest.mark.parametrize(
    ("counts", "auto"),
    [
        pytest.param([50, 50, 0], "none", id="equal"),
        pytest.param([199, 100], "none", id="below_2"),
        pytest.param([200, 100], "weights", id="2"),
        pytest.param([1000, 100], "weights", id="10"),
        pytest.param([1001, 100], "sampler", id="above_10"),
    ],
)
def test_auto_goes_by_the_counts_and_is_said(counts: list[int], auto: str) -> None:
    counts_K = np.array(counts)
    assert balance_of("multiclass", "auto", counts_K) == auto
    assert said("multiclass", "auto", counts_K).startswith(f"class_imbalance: auto is {auto}: ")
    for choice in ("none", "weights", "sampler"):
        assert balance_of("multiclass", choice, counts_K) == choice
        assert said("multiclass", choice, counts_K) == ""


@pytest.mark.parametrize(
    ("counts", "auto"),
    [
        pytest.param([50, 50, 0], "none", id="equal"),
        pytest.param([199, 100], "none", id="below_2"),
        pytest.param([200, 100], "weights", id="2"),
        pytest.param([100_000, 100], "weights", id="no_sampler_above_10"),
        pytest.param([0, 0], "none", id="no_image_in_any"),
    ],
)
def test_auto_of_several_classes_goes_by_those_that_are_in_each(
    counts: list[int], auto: str
) -> None:
    counts_K = np.array(counts)
    assert balance_of("multilabel", "auto", counts_K) == auto
    assert said("multilabel", "auto", counts_K).startswith(f"class_imbalance: auto is {auto}: ")
    with pytest.raises(ValueError, match="'sampler' of the task multilabel"):
        balance_of("multilabel", "sampler", counts_K)


def test_images_in_several_classes_count_in_each() -> None:
    targets_NK = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    assert class_counts(targets_NK, 3).tolist() == [2, 0, 1]
    assert class_counts(np.array([0, 2, 0]), 4).tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize(
    ("count", "images", "without", "within"),
    [
        pytest.param(1, 4, 2 / 3, 2.0, id="by_hand"),  # 3 at 2/3 and 1 at 2: each side 2
        pytest.param(3, 4, 2.0, 2 / 3, id="most_are_in_it"),
        pytest.param(2, 4, 1.0, 1.0, id="half"),
        pytest.param(0, 4, 1.0, 1.0, id="none"),
        pytest.param(4, 4, 1.0, 1.0, id="all"),
        # 999 to 1 is bounded by 100: (100 * 1 + 999) / 1000 = 1.099
        pytest.param(1, 1000, 1 / 1.099, 100 / 1.099, id="a_rare_one_is_bounded"),
        # 1 to 999 by 1 / 100: (999 / 100 + 1) / 1000 = 0.01099
        pytest.param(999, 1000, 1 / 0.01099, 0.01 / 0.01099, id="and_so_is_its_opposite"),
    ],
)
def test_the_sides_of_a_class_as_computed_by_hand(
    count: int, images: int, without: float, within: float
) -> None:
    assert side_weights(np.array([count]), images)[:, 0] == pytest.approx([without, within])


@pytest.mark.slow
@given(
    counts=st.lists(st.integers(0, 500), min_size=1, max_size=20),
    images=st.integers(500, 900),
)
def test_both_sides_of_a_class_count_the_same_and_its_mean_is_1(
    counts: list[int], images: int
) -> None:
    counts_K = np.array(counts)
    without_K, within_K = side_weights(counts_K, images)
    assert (without_K * (images - counts_K) + within_K * counts_K) / images == pytest.approx(
        np.ones(len(counts))
    )
    outside_K = images - counts_K
    both = (counts_K > 0) & (outside_K > 0)
    bounded = (outside_K > MOST_WEIGHT * counts_K) | (counts_K > MOST_WEIGHT * outside_K)
    equal = np.isclose(without_K * outside_K, within_K * counts_K)
    assert equal[both & ~bounded].all()
    assert (within_K == without_K)[~both].all()


@given(st.lists(st.integers(0, 500), min_size=2, max_size=20).filter(any))
def test_weights_keep_the_scale_of_the_loss_and_make_classes_equal(counts: list[int]) -> None:
    counts_K = np.array(counts)
    weights_K = class_weights(counts_K)
    assert (weights_K * counts_K).sum() / counts_K.sum() == pytest.approx(1.0)
    totals = (weights_K * counts_K)[counts_K > 0]
    assert totals == pytest.approx([totals[0]] * len(totals))


def test_weights_as_computed_by_hand() -> None:
    # 4 images, 2 classes that have any: 4 / (2 * 3) and 4 / (2 * 1)
    assert class_weights(np.array([3, 1, 0])) == pytest.approx([2 / 3, 2.0, 0.0])


@pytest.mark.slow
@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=80),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(1, 9),
)
def test_the_sampler_gives_every_class_the_same_number_of_images(
    labels: list[int], seed: int, epoch: int
) -> None:
    labels_N = np.array(labels)
    chosen = balanced_order(seed, epoch, labels_N)
    assert len(chosen) == len(labels_N)
    assert np.array_equal(chosen, balanced_order(seed, epoch, labels_N))
    present = np.unique(labels_N)
    drawn = np.bincount(labels_N[chosen], minlength=7)[present]
    assert drawn.max() - drawn.min() <= 1
    for label in present:
        times = np.bincount(chosen, minlength=len(labels_N))[labels_N == label]
        assert times.max() - times.min() <= 1  # no image of a class before another


def test_over_epochs_every_image_of_the_largest_class_is_seen() -> None:
    labels_N = np.repeat([0, 1], [90, 10])
    seen = np.concatenate([balanced_order(3, epoch, labels_N) for epoch in range(1, 11)])
    assert set(seen.tolist()) == set(range(100))
    epochs = [tuple(balanced_order(3, epoch, labels_N)) for epoch in range(1, 11)]
    assert len(set(epochs)) == 10


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_without_the_sampler_each_image_comes_once(balance: Any) -> None:
    assert sorted(order(balance, 1, 2, np.array([0, 0, 1]))) == [0, 1, 2]


@pytest.mark.slow
def test_class_weights_change_the_loss_as_computed_by_hand(other: Other, curve: Curve) -> None:
    # One batch, nothing drawn, a rate of 0: the loss is that of the random head, which
    # val sees as it is, so that the probabilities can be computed from it.
    data = uneven(train=12)
    same = TrialData(train=data.train, val=data.train)
    still = other(
        **STILL,
    )
    ((_, plain, _),) = curve(still, data=same)
    losses = {}
    for label in range(3):
        rows = np.flatnonzero(data.train.labels == label)
        part = data.train
        alone = Examples(
            images=part.images, rows=part.rows[rows], labels=part.labels[rows], keys=part.keys[rows]
        )
        ((_, losses[label], _),) = curve(still, data=TrialData(train=alone, val=data.val))
    counts_K = class_counts(data.train.labels, 3)
    n = counts_K.sum()
    assert plain == pytest.approx(sum(counts_K[k] * losses[k] for k in range(3)) / n, rel=1e-5)
    ((_, weighted, _),) = curve(replace(still, class_imbalance="weights"), data=same)
    # every class counts a third: sum over k of n_k * n / (3 * n_k) * loss_k / n
    assert weighted == pytest.approx(sum(losses.values()) / 3, rel=1e-5)
    assert weighted != pytest.approx(plain, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["weights", "sampler", "auto"])
def test_an_interrupted_curve_is_the_uninterrupted_one(
    other: Other, curve: Curve, tmp_path: Path, choice: str
) -> None:
    config = other(class_imbalance=choice, unfreeze_depth=0)
    data = uneven()
    whole = curve(config, data=data)
    assert curve(config, tmp_path, data=data, stop=1) == whole[:1]
    assert curve(config, tmp_path, data=data) == whole[1:]
    assert whole != curve(other(unfreeze_depth=0), data=data)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 1])
def test_the_store_changes_nothing_where_images_are_repeated(
    other: Other, curve: Curve, tmp_path: Path, depth: int
) -> None:
    config = other(class_imbalance="sampler", unfreeze_depth=depth, views=2)
    data = uneven()
    settings = StoreSettings(
        cache=tmp_path,
        room=Room(tmp_path, 10**9),
        boundaries=frozenset({4, 5}),
        worth=Worth(storing=lambda *_: 0.0),
    )
    stored = partial(StoredPrefix, settings=settings, note=lambda _: None)
    expected = curve(config, data=data)
    assert curve(config, data=data, prefix=stored) == expected
    assert curve(config, data=data, prefix=stored) == expected  # now read alone


@pytest.mark.slow
def test_auto_is_said_once_by_the_trial(other: Other) -> None:
    from search.backbones.catalogue import CATALOGUE

    notes: list[str] = []
    config = other(class_imbalance="auto", unfreeze_depth=0, epochs=2)
    reports = fit(
        config,
        data=uneven(rare=2),
        weights=None,
        weights_hash="random:0",
        classes=3,
        preprocessing=CATALOGUE[config.backbone].preprocessing,
        note=notes.append,
    )
    assert len(list(reports)) == 2
    assert notes == [
        "class_imbalance: auto is sampler: the largest class has 20.0 times the training "
        "images of the smallest"
    ]
