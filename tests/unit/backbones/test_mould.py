"""A model's copies are like it, and share nothing with it or each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from search.backbones.catalogue import CATALOGUE
from search.backbones.construct import construct, skeleton
from search.backbones.mould import Mould


class Tied(nn.Module):
    """One parameter under two names, a table with values, and one that is not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.register_buffer("table", torch.arange(4.0))
        self.register_buffer("scratch", torch.ones(1), persistent=False)


class Unpicklable(Tied):
    """As some libraries' models: what it does is a function made in its constructor."""

    def __init__(self) -> None:
        super().__init__()
        self.double = lambda x: 2 * x


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())


@pytest.mark.parametrize("kind", [Tied, Unpicklable])
def test_a_copy_has_the_values_and_the_ties_of_the_model(kind: type[Tied]) -> None:
    model = kind()
    model.first.bias.requires_grad_(False)
    copy = Mould(model).cast()
    found, wanted = tensors(copy), tensors(model)
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert [each.requires_grad for each in found.values()] == [
        each.requires_grad for each in wanted.values()
    ]
    assert isinstance(copy, kind)
    assert copy.second.weight is copy.first.weight
    assert "scratch" not in copy.state_dict()


@pytest.mark.parametrize("kind", [Tied, Unpicklable])
def test_what_is_done_to_a_copy_is_not_seen_elsewhere(kind: type[Tied]) -> None:
    model = kind()
    mould = Mould(model)
    before = {name: tensor.clone() for name, tensor in tensors(model).items()}
    one, other = mould.cast(), mould.cast()
    with torch.no_grad():
        for tensor in tensors(one).values():
            tensor.add_(1)
    one.eval()
    for each in (model, other, mould.cast()):
        assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(each).items())
        assert each.training


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "googlenet", "efficientnet_lite0"])
def test_a_skeleton_has_the_shapes_of_the_model_and_no_memory(name: str) -> None:
    size = CATALOGUE[name].size.default
    real, found = (
        construct(name, classes=7, image_size=size),
        skeleton(name, classes=7, image_size=size),
    )
    shapes = {key: (each.shape, each.dtype) for key, each in real.state_dict().items()}
    assert {key: (each.shape, each.dtype) for key, each in found.state_dict().items()} == shapes
    assert all(parameter.is_meta for parameter in found.parameters())
    again = skeleton(name, classes=7, image_size=size)
    assert not {id(each) for each in found.modules()} & {id(each) for each in again.modules()}
