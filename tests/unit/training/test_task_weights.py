"""Rare classes of several an image: what their weights do to the loss and to a trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import sigmoid_focal_loss

from search.training.config import TrialConfig
from search.training.inputs import TrialData
from search.training.sampling import side_weights
from search.training.task_losses import loss_for
from tests.unit.training.conftest import STILL
from tests.unit.training.task_data import several, trained

SEEDS = st.integers(0, 10_000)
Other = Callable[..., TrialConfig]


def rare() -> TrialData:
    """Class 0 has 4 of 40 training images, class 1 has 20, class 2 none."""
    data = several()
    both = np.zeros((40, 3), dtype=np.float32)
    both[:4, 0] = both[::2, 1] = 1.0
    return replace(data, train=replace(data.train, labels=both), val=_three(data.val))


def _three(part: Any) -> Any:
    none = np.zeros((len(part.labels), 1), dtype=np.float32)
    return replace(part, labels=np.concatenate([part.labels, none], axis=1))


COUNTS = np.array([4, 20, 0])


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, alpha=st.floats(0.05, 0.95), gamma=st.sampled_from([0.0, 2.0]))
def test_weighted_losses_of_several_classes_are_torchs(
    seed: int, alpha: float, gamma: float
) -> None:
    from tests.unit.training.tiny import CONFIG

    random = torch.Generator().manual_seed(seed)
    outputs = torch.randn((40, 3), generator=random) * 3
    targets = torch.from_numpy(rare().train.labels)
    config = replace(CONFIG, label_smoothing=0.0, focal_gamma=gamma)
    weights = torch.from_numpy(side_weights(COUNTS, 40)).float()
    found = loss_for("multilabel", config, weights)(outputs, targets)
    pos_weight = torch.tensor([36 / 4, 20 / 20, 1.0])
    theirs = torch.nn.BCEWithLogitsLoss(reduction="none", pos_weight=pos_weight)(outputs, targets)
    mean = torch.tensor([(9 * 4 + 36) / 40, 1.0, 1.0])  # of the weights of each class
    torch.testing.assert_close(found, (theirs / mean).mean(dim=1))
    # torchvision's alpha is the weight of images in a class, 1 - alpha of the others.
    sides = torch.tensor([[1 - alpha] * 3, [alpha] * 3])
    focal = loss_for("multilabel", replace(config, loss="focal"), sides)(outputs, targets)
    expected = sigmoid_focal_loss(outputs, targets, alpha=alpha, gamma=gamma).mean(dim=1)
    torch.testing.assert_close(focal, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_sides_that_weigh_the_same_change_nothing(other: Other, loss: str) -> None:
    random = torch.Generator().manual_seed(3)
    outputs, targets = torch.randn((9, 4), generator=random), torch.rand((9, 4), generator=random)
    config = other(loss=loss, label_smoothing=0.1)
    plain = loss_for("multilabel", config)(outputs, targets)
    assert torch.equal(loss_for("multilabel", config, torch.ones(2, 4))(outputs, targets), plain)


@pytest.mark.parametrize("label", [0.0, 1.0, 0.3])
def test_weights_leave_the_probability_to_be_learnt_as_smoothing_says_it(
    other: Other, label: float
) -> None:
    p = 0.9 * label + 0.05
    at = torch.logit(torch.tensor([[p]])).requires_grad_()
    weights = torch.tensor([[0.5], [50.0]])
    loss_for("multilabel", other(label_smoothing=0.1), weights)(
        at, torch.tensor([[label]])
    ).sum().backward()
    assert at.grad is not None
    assert float(at.grad) == pytest.approx(0.0, abs=1e-5)  # the least loss is there


@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_images_that_are_mixed_weigh_in_the_shares_of_the_mix(other: Other, loss: str) -> None:
    config = other(loss=loss, label_smoothing=0.1)
    outputs, targets = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.3, 0.6]])
    plain = [
        float(loss_for("multilabel", config)(outputs[:, [k]], targets[:, [k]])) for k in (0, 1)
    ]
    weights = torch.tensor([[0.5, 0.8], [4.0, 2.0]])
    found = loss_for("multilabel", config, weights)(outputs, targets)
    # 0.7 * 0.5 + 0.3 * 4 = 1.55 and 0.4 * 0.8 + 0.6 * 2 = 1.52
    assert float(found) == pytest.approx((1.55 * plain[0] + 1.52 * plain[1]) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_weights_of_several_classes_are_by_the_train_part(other: Other, loss: str) -> None:
    # One batch, nothing drawn, a rate of 0: the loss is that of the random head, whose
    # probabilities on the same images are shown.
    config = other(
        **STILL,
        loss=loss,
        focal_gamma=2.0,
        class_imbalance="weights",
    )
    data = rare()
    shown: list[Any] = []
    (report,) = trained(
        config, replace(data, val=data.train), 3, show=lambda _, found: shown.append(found)
    )
    said, inside = np.asarray(shown[0], dtype=np.float64), data.train.labels > 0.5
    right = np.where(inside, said, 1 - said)
    losses = -np.log(right) * ((1 - right) ** 2 if loss == "focal" else 1.0)
    # Class 0: 36 / 4 = 9, mean (9 * 4 + 36) / 40 = 1.8; class 1: 20 / 20; class 2: nobody's.
    weights = np.where(inside, [9 / 1.8, 1.0, 1.0], [1 / 1.8, 1.0, 1.0])
    assert report.train_loss == pytest.approx((weights * losses).mean(), rel=1e-5)
    assert report.train_loss != pytest.approx(losses.mean(), rel=1e-3)


@pytest.mark.slow
def test_auto_of_several_classes_is_said_once_by_the_trial(other: Other) -> None:
    config = other(epochs=2, unfreeze_depth=0, class_imbalance="auto")
    notes: list[str] = []
    auto = trained(config, rare(), 3, note=notes.append)
    assert notes == [
        "class_imbalance: auto is weights: the largest class has 5.0 times the training images "
        "of the smallest"
    ]
    weights = trained(replace(config, class_imbalance="weights"), rare(), 3)
    usual = trained(replace(config, class_imbalance="none"), rare(), 3)
    assert [each.train_loss for each in auto] == [each.train_loss for each in weights]
    assert auto[0].train_loss != usual[0].train_loss


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"mixup": 1.0}, {"loss": "focal", "label_smoothing": 0.1}])
def test_weights_go_with_what_softens_targets(other: Other, changes: dict[str, Any]) -> None:
    config = other(epochs=1, unfreeze_depth=0, class_imbalance="weights", **changes)
    assert trained(config, rare(), 3)[0].train_loss > 0
