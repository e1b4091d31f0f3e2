"""What a step minimises, against torchvision and by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from search.training.config import TrialConfig
from search.training.losses import focal_loss, loss_of
from tests.unit.training.tiny import CONFIG

Other = Callable[..., TrialConfig]


def drawn(seed: int, images: int, classes: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    outputs_BK = torch.randn(images, classes, generator=draw) * scale
    return outputs_BK, torch.randint(0, classes, (images,), generator=draw)


def test_the_default_is_torchs_cross_entropy_to_the_last_bit(other: Other) -> None:
    outputs_BK, labels_B = drawn(0, 16, 5)
    expected = functional.cross_entropy(outputs_BK, labels_B, reduction="none", label_smoothing=0.1)
    assert torch.equal(loss_of(other())(outputs_BK, labels_B), expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), gamma=st.floats(0.0, 5.0), scale=st.floats(0.1, 10.0))
def test_focal_of_two_classes_is_torchvisions(seed: int, gamma: float, scale: float) -> None:
    outputs_BK, labels_B = drawn(seed, 12, 2, scale)
    ours = focal_loss(outputs_BK, functional.one_hot(labels_B, 2).float(), gamma=gamma)
    logits_B = outputs_BK[:, 1] - outputs_BK[:, 0]  # a softmax of two is a sigmoid of their gap
    theirs = sigmoid_focal_loss(logits_B, labels_B.float(), alpha=-1, gamma=gamma)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), smoothing=st.sampled_from([0.0, 0.1]))
def test_focal_with_gamma_0_is_cross_entropy(seed: int, smoothing: float) -> None:
    focal = replace(CONFIG, loss="focal", focal_gamma=0.0, label_smoothing=smoothing)
    plain = replace(CONFIG, label_smoothing=smoothing)
    outputs_BK, labels_B = drawn(seed, 8, 4)
    torch.testing.assert_close(
        loss_of(focal)(outputs_BK, labels_B), loss_of(plain)(outputs_BK, labels_B)
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_losses_by_hand(other: Other, loss: str, weighted: bool) -> None:
    outputs_BK, labels_B = drawn(1, 6, 3)
    weights = [0.5, 1.0, 3.0] if weighted else [1.0, 1.0, 1.0]
    config = other(loss=loss, focal_gamma=2.0, label_smoothing=0.1)
    found = loss_of(config, torch.tensor(weights) if weighted else None)(outputs_BK, labels_B)
    for outputs, label, value in zip(outputs_BK.tolist(), labels_B.tolist(), found, strict=True):
        p = np.exp(outputs) / np.exp(outputs).sum()
        expected = 0.0
        for k in range(3):
            share = 0.9 * (k == label) + 0.1 / 3
            focus = (1 - p[k]) ** 2 if loss == "focal" else 1.0
            expected += weights[k] * share * focus * -np.log(p[k])
        assert float(value) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_shares_of_one_class_are_that_class_and_of_several_their_mean(
    other: Other, loss: str
) -> None:
    outputs_BK, labels_B = drawn(2, 8, 4)
    minimised = loss_of(other(loss=loss), torch.tensor([0.5, 1.0, 2.0, 0.7]))
    whole = minimised(outputs_BK, labels_B)
    one_hot_BK = functional.one_hot(labels_B, 4).float()
    torch.testing.assert_close(minimised(outputs_BK, one_hot_BK), whole)
    mixed_BK = 0.3 * one_hot_BK + 0.7 * one_hot_BK.flip(0)
    expected = 0.3 * whole + 0.7 * minimised(outputs_BK, labels_B.flip(0))
    torch.testing.assert_close(minimised(outputs_BK, mixed_BK), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_finite_gradients_where_the_model_is_certain(gamma: float) -> None:
    outputs_BK = torch.tensor([[200.0, 0.0], [-200.0, 0.0], [0.0, 0.0]], requires_grad=True)
    one_hot_BK = functional.one_hot(torch.tensor([0, 0, 1]), 2).float()
    focal_loss(outputs_BK, one_hot_BK, gamma=gamma).sum().backward()
    assert outputs_BK.grad is not None
    assert torch.isfinite(outputs_BK.grad).all()
    assert outputs_BK.grad[1, 0] == pytest.approx(-1.0, abs=1e-3)  # as cross-entropy has it
