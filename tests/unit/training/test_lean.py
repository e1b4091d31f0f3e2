"""What the backward pass keeps: less, and the same gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search.backbones.stages import Staged, build
from search.training.lean import keep_less

EDGES = [-1.0, -0.0, 0.0, 1e-30, 3.0, 5.9999995, 6.0, 6.0000005, 7.0]


def net() -> Staged:
    staged = build(
        "mobilenet_v2", classes=2, image_size=32, dropout=0.0, state=None, seed=0, body_seed=1
    )
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


def test_gradients_are_the_same_to_the_last_bit_from_less_memory() -> None:
    own, own_bytes = gradients(net())
    lean = net()
    keep_less(lean)
    found, found_bytes = gradients(lean)
    assert len(found) == len(own) == 158  # 52 convolutions, 52 norms of two each, the head's two
    assert all(torch.equal(found[name], own[name]) for name in own)
    assert found_bytes < 0.9 * own_bytes


def test_gradients_at_the_edges_and_of_what_is_not_finite_are_torchs() -> None:
    staged = net()
    keep_less(staged)
    lean = next(module for module in staged.model.modules() if type(module) is nn.ReLU6)
    x = torch.tensor([*EDGES, float("inf"), -float("inf"), float("nan")])
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, z = lean(ours), nn.functional.relu6(theirs)
    assert torch.equal(y, z) or torch.equal(y.isnan(), z.isnan())
    (y * 3).sum().backward()
    (z * 3).sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


def test_without_gradients_nothing_is_kept() -> None:
    staged = net()
    keep_less(staged)
    with torch.no_grad():
        assert staged(torch.zeros(2, 3, 32, 32)).grad_fn is None
