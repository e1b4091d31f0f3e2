"""What the backward pass keeps: less, and the same gradients."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from search.backbones.stages import Staged, build
from search.training import lean
from search.training.lean import keep_less, kept_once

EDGES = [-1.0, -0.0, 0.0, 1e-30, 3.0, 5.9999995, 6.0, 6.0000005, 7.0]


def net(backbone: str = "mobilenet_v2") -> Staged:
    staged = build(backbone, classes=2, image_size=32, dropout=0.0, state=None, seed=0, body_seed=1)
    staged.set_mode(5, training=True)
    return staged


def gradients(staged: Staged) -> tuple[dict[str, Tensor], int]:
    """Of all parameters, and the bytes that were kept for them."""
    kept: dict[int, int] = {}
    held = []  # so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        held.append(tensor)
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    images_BCHW = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = staged(images_BCHW).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad for name, p in staged.model.named_parameters() if p.grad is not None}
    return found, sum(kept.values())


@pytest.mark.slow
def test_gradients_are_the_same_to_the_last_bit_from_less_memory() -> None:
    own, own_bytes = gradients(net())
    leaner = net()
    keep_less(leaner.model)
    found, found_bytes = gradients(leaner)
    assert len(found) == len(own) == 158  # 52 convolutions, 52 norms of two each, the head's two
    assert all(torch.equal(found[name], own[name]) for name in own)
    assert found_bytes < 0.9 * own_bytes


def test_gradients_at_the_edges_and_of_what_is_not_finite_are_torchs() -> None:
    staged = net()
    keep_less(staged.model)
    relu6 = next(module for module in staged.model.modules() if type(module) is nn.ReLU6)
    x = torch.tensor([*EDGES, float("inf"), -float("inf"), float("nan")])
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, z = relu6(ours), nn.functional.relu6(theirs)
    assert torch.equal(y, z) or torch.equal(y.isnan(), z.isnan())
    (y * 3).sum().backward()
    (z * 3).sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


def test_without_gradients_nothing_is_kept() -> None:
    staged = net()
    keep_less(staged.model)
    with torch.no_grad():
        assert staged(torch.zeros(2, 3, 32, 32)).grad_fn is None


def learn(staged: Staged, images_BCHW: Tensor) -> dict[str, Tensor]:
    """The gradients of all parameters, as a trial gets them."""
    torch.manual_seed(0)  # for stochastic depth
    with kept_once():
        loss = staged(images_BCHW).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in staged.model.named_parameters() if p.grad is not None}


# ReLU6, ReLU (a residual is added in its place), Hardswish and ReLU, SiLU.
@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", ["mobilenet_v2", "resnet18", "mobilenet_v3_small", "efficientnet_b0"]
)
@pytest.mark.parametrize("norms_learn", [True, False], ids=["own_statistics", "running_statistics"])
def test_what_is_computed_again_gives_the_same_gradients(
    backbone: str, norms_learn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "WORTH", 0)
    images_BCHW = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = []
    for is_lean in (False, True, True):
        staged = net(backbone)
        for module in staged.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(norms_learn)
        if is_lean:
            keep_less(staged.model)
        found.append(learn(staged, images_BCHW))
    torchs, ours, again = found
    assert torchs.keys() == ours.keys() == again.keys()
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    largest = max(float(gradient.abs().max()) for gradient in torchs.values())
    for name, gradient in torchs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-5 * largest)


def test_between_a_norm_and_a_convolution_one_large_tensor_is_kept_instead_of_two() -> None:
    kept = []
    for is_lean in (False, True):
        block = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU6(inplace=True),
            nn.Conv2d(64, 8, 1),
        )
        if is_lean:
            keep_less(block)
        kept.append(large_tensors(block, torch.randn(4, 3, 64, 64)))
    assert kept == [3, 1]  # the norm's input; ReLU6's input and its output


def test_an_output_that_was_changed_since_is_kept_as_it_is() -> None:
    block = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU())
    last = nn.Conv2d(64, 8, 1)
    keep_less(block)
    x = torch.randn(4, 3, 64, 64)
    found: list[Tensor] = []
    for context in (kept_once, torch.enable_grad):
        last.weight.grad = None
        with context():
            y = block(x)
            y += 1
            loss = last(y).sum()
        loss.backward()
        assert last.weight.grad is not None
        found.append(last.weight.grad)
    assert torch.equal(found[0], found[1])


@pytest.mark.slow
def test_nothing_is_held_once_the_gradients_are_there() -> None:
    staged = net()
    keep_less(staged.model)
    gone = []
    with kept_once():
        features = staged(torch.randn(8, 3, 64, 64))
        gone.append(weakref.ref(features))
        loss = features.square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    del features, loss
    assert gone[0]() is None


def large_tensors(block: nn.Module, x: Tensor) -> int:
    """Large tensors that a forward pass keeps for the backward pass."""
    kept: set[int] = set()
    held = []

    class Counting(torch.autograd.graph.saved_tensors_hooks):
        def __init__(
            self, pack: Callable[[Tensor], object], unpack: Callable[[object], Tensor]
        ) -> None:
            def counted(tensor: Tensor) -> object:
                packed = pack(tensor)
                if isinstance(packed, Tensor) and packed.nbytes >= lean.WORTH:
                    held.append(packed)
                    kept.add(packed.untyped_storage().data_ptr())
                return packed

            super().__init__(counted, unpack)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd.graph, "saved_tensors_hooks", Counting)
        with kept_once():
            block(x)
    return len(kept)
