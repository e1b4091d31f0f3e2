"""``head_init: probe``: a head that begins as scikit-learn's linear model of the features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor
from torch.nn import functional

from search.training.config import TrialConfig
from search.training.faults import Diverged
from search.training.inputs import TrialData
from search.training.probe_head import STRENGTHS, Fitted, linear_model
from tests.unit.training.conftest import STILL
from tests.unit.training.frozen import Store
from tests.unit.training.task_data import numbers, several, trained
from tests.unit.training.tiny import CONFIG

Part = tuple[Tensor, Tensor]
BASE = replace(CONFIG, backbone="resnet18")
"""Without weights the tiny trial's own backbone gives the same for every image."""


def cross_entropy(outputs_NK: Tensor, targets_N: Tensor) -> Tensor:
    return functional.cross_entropy(outputs_NK, targets_N, reduction="none")


def squared(outputs_NK: Tensor, targets_NK: Tensor) -> Tensor:
    return functional.mse_loss(outputs_NK, targets_NK, reduction="none").mean(dim=1)


def classes(seed: int, images: int, *, features: int = 12, noise: float = 3.0) -> Part:
    """Three classes, around a centre each; one feature is constant, one large."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    centres = np.random.default_rng(0).normal(size=(3, features))
    found = centres[labels] + noise * random.normal(size=(images, features))
    found[:, 0] = 5.0
    found[:, 1] = 100.0 + 30.0 * found[:, 1]
    return torch.from_numpy(found).float(), torch.from_numpy(labels)


def said(model: Fitted, features_NF: Tensor) -> Tensor:
    outputs_NK = features_NF @ model.weight_KF.T
    return outputs_NK if model.bias_K is None else outputs_NK + model.bias_K


@pytest.mark.parametrize("strength", [1e-3, 1e-1, 1.0])
def test_for_one_strength_it_is_scikit_learns_logistic_regression(strength: float) -> None:
    train, val = classes(1, 90), classes(2, 30)
    mine = linear_model(train, val, loss=cross_entropy, outputs=3, strengths=(strength,))
    mean, std = train[0].mean(0), train[0].std(0, correction=0)
    std[std < 1e-6] = 1
    theirs = LogisticRegression(C=strength, max_iter=1_000, tol=1e-8)
    theirs.fit(((train[0] - mean) / std).numpy(), train[1].numpy())
    expected = theirs.predict_proba(((val[0] - mean) / std).numpy())
    assert said(mine, val[0]).softmax(1).numpy() == pytest.approx(expected, abs=2e-3)


def test_of_numbers_it_is_scikit_learns_ridge_regression() -> None:
    features, labels = classes(1, 90)
    targets = (labels.float() - 1)[:, None]
    mine = linear_model(
        (features, targets), (features, targets), loss=squared, outputs=1, strengths=(0.05,)
    )
    mean, std = features.mean(0), features.std(0, correction=0)
    std[std < 1e-6] = 1
    standard = ((features - mean) / std).double().numpy()
    theirs = Ridge(alpha=1 / (2 * 0.05)).fit(standard, targets[:, 0].double().numpy())
    assert said(mine, features)[:, 0].numpy() == pytest.approx(theirs.predict(standard), abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000), noise=st.sampled_from([0.3, 1.0, 3.0, 9.0]))
def test_its_strength_is_the_first_before_the_loss_on_val_rises(seed: int, noise: float) -> None:
    train, val = classes(seed, 45, noise=noise), classes(seed + 1, 30, noise=noise)

    def judged(count: int) -> float:
        model = linear_model(train, val, loss=cross_entropy, outputs=3, strengths=STRENGTHS[:count])
        return float(cross_entropy(said(model, val[0]), val[1]).mean())

    chosen = linear_model(train, val, loss=cross_entropy, outputs=3)
    at = STRENGTHS.index(chosen.strength) + 1
    losses = [judged(count) for count in range(1, at + 1)]
    assert losses == sorted(losses, reverse=True)
    if at < len(STRENGTHS):
        assert judged(at + 1) == losses[-1]  # one more is tried and not taken


def test_without_a_bias_nothing_is_added() -> None:
    train = classes(1, 90)
    model = linear_model(train, train, loss=cross_entropy, outputs=3, bias=False)
    assert model.bias_K is None
    assert (said(model, train[0]).argmax(1) == train[1]).float().mean() > 0.6


def test_features_that_are_not_finite_are_told_as_what_they_are() -> None:
    features, labels = classes(1, 30)
    features[3, 3] = float("nan")
    with pytest.raises(Diverged, match="pretrained features are not finite"):
        linear_model((features, labels), (features, labels), loss=cross_entropy, outputs=3)


def _found(config: TrialConfig, data: TrialData, outputs: int) -> tuple[Any, list[str]]:
    """What the model says of val after the first epoch, and the notes."""
    shown: list[Any] = []
    notes: list[str] = []
    trained(
        config, data, outputs, note=notes.append,
        show=lambda _curve, found: shown.append(found),
    )  # fmt: skip
    return shown[0], notes


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_trial_at_a_rate_of_0_says_what_a_linear_model_says(task: str, depth: int) -> None:
    """Of any task: its loss on val is far below that of a head of random values."""
    data, outputs = (several(), 2) if task == "multilabel" else (numbers(1e6, 5.0), 1)
    base = replace(BASE, **{**STILL, "unfreeze_depth": depth})
    by_chance = trained(base, data, outputs)[0]
    probe = trained(replace(base, head_init="probe"), data, outputs)[0]
    assert probe.metrics["loss"] < 0.8 * by_chance.metrics["loss"]


@pytest.mark.slow
def test_it_is_told_in_the_notes_with_the_strength(data: TrialData) -> None:
    _, notes = _found(replace(BASE, **STILL, head_init="probe"), data, 3)
    (note,) = [each for each in notes if "linear model" in each]
    assert note.startswith("its head begins as a linear model of the pretrained features of 26 ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"unfreeze_depth": 0}, id="the_head_alone"),
        pytest.param({"unfreeze_depth": 2}, id="blocks"),
        pytest.param({"unfreeze_depth": 1, "batch_norm": "train"}, id="moving_statistics"),
        pytest.param({"unfreeze_depth": 1, "ema": 0.9}, id="an_average"),
        pytest.param({"unfreeze_depth": 1, "finetune": "head_then_partial"}, id="the_head_first"),
    ],
)
def test_store_on_or_off_and_interrupted_it_is_the_same_curve(
    changes: dict[str, Any],
    curve: Callable[..., list[Any]],
    store: Store,
    tmp_path: Path,
) -> None:
    config = replace(BASE, head_init="probe", **changes)
    whole = curve(config)
    assert whole != curve(replace(config, head_init="random"))
    assert curve(config, prefix=store.open) == whole
    assert curve(config, prefix=store.open) == whole
    first = curve(config, tmp_path / "trial", stop=1)
    assert [*first, *curve(config, tmp_path / "trial", prefix=store.open)] == whole


@pytest.mark.slow
def test_statistics_that_training_moves_have_seen_the_images_before(data: TrialData) -> None:
    """Without it, the first epoch in training mode would meet features of another kind."""
    still = {**STILL, "unfreeze_depth": 2, "batch_size": 8}
    by_chance = trained(replace(BASE, **still), data, 3)[0]
    probe = trained(replace(BASE, **still, head_init="probe"), data, 3)[0]
    assert probe.train_loss < 0.6 * by_chance.train_loss


@pytest.mark.slow
def test_the_average_of_weights_begins_there_too() -> None:
    """At a rate of 0 the average is what the weights are: the linear model, from the start."""
    data = several()
    still = replace(BASE, **STILL, head_init="probe")
    plain, _ = _found(still, data, 2)
    averaged, _ = _found(replace(still, ema=0.99), data, 2)
    assert np.array_equal(plain, averaged)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"head": "mlp"}, id="of_several_layers"),
        pytest.param({"backbone": "squeezenet1_1"}, id="a_convolution"),
    ],
)
def test_a_head_that_is_no_linear_layer_begins_at_random_and_that_is_said(
    changes: dict[str, Any], data: TrialData
) -> None:
    config = replace(BASE, **STILL, **changes)
    expected, silent = _found(config, data, 3)
    found, notes = _found(replace(config, head_init="probe"), data, 3)
    assert np.array_equal(expected, found)
    assert [each for each in notes if each not in silent] == [
        f"head_init: probe does nothing: the head of {config.backbone} is no linear layer"
    ]
