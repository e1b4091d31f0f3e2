"""A batch that goes through in parts teaches what it teaches whole."""

import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search.backbones.stages import BLOCKS, Staged, build
from search.training import accumulate, lean
from search.training.accumulate import backward, sees_parts
from search.training.checkpoint import load_trained
from search.training.config import TrialConfig
from search.training.losses import loss_of
from search.training.predict import suffix_logits
from tests.unit.training.tiny import CONFIG

Curve = Callable[..., list[tuple[int, float, tuple[float, ...]]]]
Other = Callable[..., TrialConfig]


def model(depth: int) -> Staged:
    """Trained from ``depth`` on; nothing draws or takes statistics."""
    staged = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.2, state=None, seed=1)
    staged.set_mode(depth, training=False)
    return staged


LOSS = loss_of(CONFIG)
MODELS = {depth: model(depth) for depth in (0, 1, 5)}


def gradients(
    depth: int, inputs: Tensor, labels: Tensor, micro_batch: int
) -> tuple[float, dict[str, Tensor]]:
    staged = MODELS[depth]
    start = len(BLOCKS) - depth
    staged.model.zero_grad(set_to_none=True)
    with torch.no_grad():
        features = staged.forward_blocks(inputs, 0, start)
        features = staged.pool(features) if depth == 0 else features
    loss = backward(staged, features, labels, start=start, loss=LOSS, micro_batch=micro_batch)
    named = staged.model.named_parameters()
    return float(loss), {name: p.grad.clone() for name, p in named if p.grad is not None}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    depth=st.sampled_from(sorted(MODELS)),
    images=st.integers(1, 9),
    micro_batch=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_parts_of_any_size_add_up_to_the_gradients_of_the_whole_batch(
    depth: int, images: int, micro_batch: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(images, 3, 32, 32, generator=draw)
    labels = torch.randint(0, 3, (images,), generator=draw)
    whole_loss, whole = gradients(depth, inputs, labels, images)
    loss, found = gradients(depth, inputs, labels, micro_batch)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert found.keys() == whole.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.slow
def test_only_trained_batch_norm_sees_the_parts() -> None:
    assert not sees_parts(MODELS[0], 5)
    assert sees_parts(MODELS[1], 4)
    attention = build("vit_b_16", classes=3, image_size=32, dropout=0.0, state=None, seed=1)
    assert not sees_parts(attention, 0)


@pytest.mark.slow
def test_a_micro_batch_that_splits_nothing_changes_no_bit(
    config: TrialConfig, curve: Curve
) -> None:
    notes: list[str] = []
    whole = curve(config, stop=2)
    assert curve(config, stop=2, micro_batch=config.batch_size, note=notes.append) == whole
    assert curve(config, stop=2, micro_batch=500, note=notes.append) == whole
    assert notes == []


@pytest.mark.slow
def test_without_dropout_and_trained_batch_norm_a_split_trial_gives_the_same_curve(
    other: Other, curve: Curve
) -> None:
    config, notes = other(unfreeze_depth=0, dropout=0.0), list[str]()
    whole, split = curve(config), curve(config, micro_batch=3, note=notes.append)
    for one, two in zip(whole, split, strict=True):
        assert two[1] == pytest.approx(one[1], rel=1e-4)
        assert two[2] == pytest.approx(one[2], rel=1e-3)
    assert notes == []


@pytest.mark.slow
def test_a_trial_goes_on_from_its_checkpoint_with_smaller_parts(
    config: TrialConfig, curve: Curve, tmp_path: Path
) -> None:
    curve(config, tmp_path, stop=1)
    notes: list[str] = []
    points = curve(config, tmp_path, micro_batch=4, note=notes.append)
    assert [epoch for epoch, *_ in points] == [2, 3]
    assert notes == [
        "its batch-norm layers see 4 images at once, not 8: "
        "its result may differ from that of whole batches"
    ]
    assert load_trained(tmp_path, "last").config == config


def test_nothing_of_a_part_is_there_while_the_next_goes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lean, "WORTH", 0)
    staged = build("mobilenet_v2", classes=3, image_size=32, dropout=0.0, state=None, seed=1)
    staged.set_mode(5, training=True)
    lean.keep_less(staged.model)
    norms: list[weakref.ref[object]] = []
    there: list[int] = []

    class Noted(lean._Recipe):
        def __init__(self, norm: lean._Norm, activation: lean._Activation) -> None:
            super().__init__(norm, activation)
            norms.append(weakref.ref(self))

    def noted(staged: Staged, inputs: Tensor, start: int) -> Tensor:
        there.append(sum(norm() is not None for norm in norms))
        return suffix_logits(staged, inputs, start)

    monkeypatch.setattr(lean, "_Recipe", Noted)
    monkeypatch.setattr(accumulate, "suffix_logits", noted)
    images_BCHW = torch.rand(6, 3, 32, 32)
    backward(staged, images_BCHW, torch.arange(6) % 3, start=0, loss=LOSS, micro_batch=2)
    assert norms
    assert there == [0, 0, 0]
