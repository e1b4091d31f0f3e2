"""Several classes an image, and numbers: metrics, thresholds, losses, and what is learnt.

scikit-learn and torchvision say what each figure is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torchvision.ops import sigmoid_focal_loss

from search.data.enough import CLOSEST
from search.data.labels import LARGEST
from search.data.targets import Scale
from search.space.spec import LOSSES_OF, METRICS_OF, Task
from search.training.checkpoint import load_trained
from search.training.config import TrialConfig
from search.training.multilabel import decide, tuned_thresholds
from search.training.readout import Readout
from search.training.task_losses import loss_for
from search.training.task_metrics import task_metrics
from tests.unit.training.task_data import numbers, several, trained

SEEDS = st.integers(0, 10_000)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, images=st.integers(1, 40), classes=st.integers(2, 6), ties=st.booleans())
def test_metrics_of_several_classes_are_scikit_learns(
    seed: int, images: int, classes: int, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    said = rng.random((images, classes))
    if ties:
        said = said.round(1)
    targets = (rng.random((images, classes)) < 0.4).astype(np.float32)
    thresholds = rng.uniform(0.2, 0.8, classes)
    found = task_metrics("multilabel", said, targets, tuple(thresholds))
    assert tuple(found) == METRICS_OF["multilabel"]
    called = said >= thresholds
    occurs = targets.any(axis=0)
    counted = occurs | called.any(axis=0)
    expected = {
        "mAP": sk.average_precision_score(targets[:, occurs], said[:, occurs])
        if occurs.any()
        else 0.0,
        # A class at a time: a single column would be two classes to scikit-learn.
        "macro_f1": np.mean(
            [
                sk.f1_score(targets[:, k], called[:, k], zero_division=0)
                for k in np.flatnonzero(counted)
            ]
        )
        if counted.any()
        else 0.0,
        "micro_f1": sk.f1_score(targets, called, average="micro", zero_division=0),
        "loss": np.mean(
            [
                sk.log_loss(targets[:, k], said[:, k].clip(1e-9, 1 - 1e-9), labels=[0, 1])
                for k in range(classes)
            ]
        ),
    }
    for name, value in expected.items():
        if name != "loss" or ((said > 0).all() and (said < 1).all()):
            assert found[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, images=st.integers(2, 40), offset=st.sampled_from([0.0, 1e6]))
def test_metrics_of_numbers_are_scikit_learns(seed: int, images: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.normal(offset, 3.0, images)
    said = targets + rng.normal(0, 1.0, images)
    found = task_metrics("regression", said[:, None], targets)
    assert tuple(found) == METRICS_OF["regression"]
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(targets, said))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(targets, said))
    assert found["r2"] == pytest.approx(sk.r2_score(targets, said), abs=1e-9)
    assert found["loss"] == pytest.approx(sk.mean_squared_error(targets, said))


def test_targets_that_are_all_equal_have_no_variance_to_explain() -> None:
    targets = np.full(4, 2.0)
    assert task_metrics("regression", targets[:, None], targets)["r2"] == 1.0
    assert task_metrics("regression", targets[:, None] + 1, targets)["r2"] == 0.0


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, images=st.integers(1, 30))
def test_no_other_threshold_has_a_better_f1_on_the_same_images(seed: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.random((images, 1)).round(2)
    targets = (rng.random((images, 1)) < 0.4).astype(np.float32)
    (tuned,) = tuned_thresholds(said, targets)
    if not targets.any():
        assert tuned == 0.5
        return

    def f1_at(threshold: float) -> float:
        called = decide(said, np.array([threshold]))
        return float(sk.f1_score(targets[:, 0], called[:, 0], zero_division=0))

    assert 0 <= tuned < 1
    assert f1_at(tuned) == pytest.approx(max(f1_at(each) for each in [*said[:, 0], 0.0]))


def test_a_threshold_lies_half_way_between_what_is_in_and_what_is_out() -> None:
    said = np.array([[0.9], [0.8], [0.3], [0.1]])
    # In are 0.9 and 0.8: every threshold from 0.3 to 0.8 is right; half way is 0.55.
    assert tuned_thresholds(said, np.array([[1], [1], [0], [0]])) == pytest.approx((0.55,))


Other = Callable[..., TrialConfig]


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, gamma=st.sampled_from([0.0, 1.0, 2.0]))
def test_losses_of_several_classes_are_torchs(seed: int, gamma: float) -> None:
    from tests.unit.training.tiny import CONFIG

    random = torch.Generator().manual_seed(seed)
    outputs = torch.randn((7, 4), generator=random) * 3
    targets = (torch.rand((7, 4), generator=random) < 0.5).float()
    config = replace(CONFIG, label_smoothing=0.0, focal_gamma=gamma)
    bce = loss_for("multilabel", config)(outputs, targets)
    expected = torch.nn.BCEWithLogitsLoss(reduction="none")(outputs, targets).mean(dim=1)
    torch.testing.assert_close(bce, expected)
    focal = loss_for("multilabel", replace(config, loss="focal"))(outputs, targets)
    expected = sigmoid_focal_loss(outputs, targets, alpha=-1, gamma=gamma).mean(dim=1)
    torch.testing.assert_close(focal, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # Errors in standard deviations: 0.5 and -3.
        pytest.param("auto", [0.25, 9.0], id="auto_is_mse"),
        pytest.param("mae", [0.5, 3.0], id="mae"),
        pytest.param("huber", [0.125, 2.5], id="huber"),  # 0.5**2/2, then 3 - 1/2
    ],
)
def test_losses_of_numbers(other: Other, loss: str, expected: list[float]) -> None:
    found = loss_for("regression", other(loss=loss))(
        torch.tensor([[1.5], [-2.0]]), torch.tensor([[1.0], [1.0]])
    )
    assert found.tolist() == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, delta=st.floats(0.01, 10.0))
def test_the_huber_loss_is_as_huber_wrote_it(seed: int, delta: float) -> None:
    from tests.unit.training.tiny import CONFIG

    random = torch.Generator().manual_seed(seed)
    outputs = torch.randn((9, 1), generator=random) * 4
    targets = torch.randn((9, 1), generator=random)
    found = loss_for("regression", replace(CONFIG, loss="huber", huber_delta=delta))
    far = (outputs - targets).abs().squeeze(1)
    # Huber 1964: t ** 2 / 2 for |t| < k, k |t| - k ** 2 / 2 beyond.
    expected = torch.where(far < delta, far**2 / 2, delta * far - delta**2 / 2)
    torch.testing.assert_close(found(outputs, targets), expected)


def test_the_default_of_huber_delta_leaves_every_result_as_it_was(other: Other) -> None:
    outputs = torch.linspace(-4.0, 4.0, 33)[:, None]
    targets = torch.zeros((33, 1))
    before = torch.nn.functional.huber_loss(outputs, targets, reduction="none").mean(dim=1)
    assert torch.equal(loss_for("regression", other(loss="huber"))(outputs, targets), before)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_loss_of_another_task_is_refused(other: Other, task: Task) -> None:
    wrong = {"multilabel": "mse", "regression": "focal"}[task]
    assert wrong not in LOSSES_OF[task]
    with pytest.raises(ValueError, match=wrong):
        loss_for(task, other(loss=wrong))


@pytest.mark.slow
def test_several_classes_are_learnt_and_their_thresholds_kept(other: Other, tmp_path: Path) -> None:
    config = other(epochs=6, unfreeze_depth=5, backbone_lr_scale=1.0, augmentation="none", views=1)
    curve = trained(config, several(), 2, tmp_path)
    assert tuple(curve[-1].metrics) == METRICS_OF["multilabel"]
    assert curve[-1].train_loss < curve[0].train_loss
    saved = load_trained(tmp_path)
    assert saved.thresholds == curve[saved.epoch - 1].thresholds
    assert len(saved.thresholds) == 2
    assert list(trained(config, several(), 2, tmp_path)) == []  # nothing is left to train


@pytest.mark.slow
def test_numbers_are_learnt_the_same_in_every_unit(other: Other) -> None:
    config = other(epochs=4, unfreeze_depth=5, backbone_lr_scale=1.0, augmentation="none", views=1)
    curve = trained(config, numbers(0.0, 1.0), 1)
    large = trained(config, numbers(1e4, 1e3), 1)
    assert tuple(curve[-1].metrics) == METRICS_OF["regression"]
    assert curve[-1].train_loss < curve[0].train_loss
    for one, other_unit in zip(curve, large, strict=True):
        # Targets differ in their last bits, which training carries on.
        assert other_unit.train_loss == pytest.approx(one.train_loss, rel=0.02)
        assert other_unit.metrics["mae"] == pytest.approx(1e3 * one.metrics["mae"], rel=0.05)
        assert other_unit.metrics["r2"] == pytest.approx(one.metrics["r2"], abs=0.1)


@pytest.mark.parametrize("unit", [LARGEST, CLOSEST])
def test_errors_of_the_widest_and_the_closest_values_can_be_squared(unit: float) -> None:
    targets_N = np.linspace(-unit, unit, 12)
    scale = Scale(mean=float(targets_N.mean()), std=float(targets_N.std()))
    readout = Readout(task="regression", scale=scale)
    outputs_N1 = torch.tensor([[torch.finfo(torch.float32).max], [0.0]] * 6)
    assert readout.learnt(targets_N).std(correction=0).item() == pytest.approx(1.0)
    with np.errstate(over="raise", under="raise"):
        found = task_metrics("regression", readout.said(outputs_N1).numpy(), targets_N)
    assert all(np.isfinite(value) and value for value in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_each_loss_of_numbers_trains_another_model(other: Other, loss: str) -> None:
    config = other(epochs=1, augmentation="none", views=1)
    (report,) = trained(replace(config, loss=loss), numbers(3.0, 2.0), 1)
    (usual,) = trained(config, numbers(3.0, 2.0), 1)
    assert (report.metrics == usual.metrics) == (loss == "mse")


@pytest.mark.slow
@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_images_of_every_task_can_be_mixed(other: Other, mixing: str) -> None:
    config = other(epochs=1, unfreeze_depth=0, **{mixing: 1.0})
    assert trained(config, several(), 2)[0].train_loss > 0
    assert trained(config, numbers(3.0, 2.0), 1)[0].train_loss > 0


@pytest.mark.slow
def test_a_class_imbalance_leaves_numbers_alone(other: Other) -> None:
    config = other(epochs=1, unfreeze_depth=0)
    usual = trained(config, numbers(3.0, 2.0), 1)[0]
    for choice in ("weights", "sampler", "auto"):
        found = trained(replace(config, class_imbalance=choice), numbers(3.0, 2.0), 1)[0]
        assert found.metrics == usual.metrics
