"""``head: mlp``: a hidden layer that belongs to the head, wholly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from search.backbones.arguments import HeadSpec
from search.backbones.stages import Staged, build, restore

MLP = HeadSpec(kind="mlp", hidden=5)


def built(name: str, head: HeadSpec, *, seed: int = 0, dropout: float = 0.5) -> Staged:
    return build(name, classes=3, image_size=64, dropout=dropout, state=None, seed=seed, head=head)


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "at", "layer"),
    [
        pytest.param("resnet18", "fc", nn.Linear, id="fc"),
        pytest.param("mobilenet_v3_small", "classifier.3", nn.Linear, id="classifier"),
        pytest.param("squeezenet1_1", "classifier.1", nn.Conv2d, id="one_by_one"),
    ],
)
def test_a_hidden_layer_takes_the_last_layers_place(
    name: str, at: str, layer: type[nn.Module]
) -> None:
    staged = built(name, MLP)
    top = staged.model.get_submodule(at)
    assert [type(part) for part in top] == [layer, nn.GELU, nn.Dropout, layer]
    assert {owner for key, owner in staged.owners().items() if key.startswith(f"{at}.")} == {"head"}
    heads = {key for key, owner in staged.owners().items() if owner == "head"}
    assert heads == {f"{at}.{key}" for key in ("0.weight", "0.bias", "3.weight", "3.bias")}
    assert set(staged.owners()) == set(staged.model.state_dict())
    assert (staged.classes, top[0].weight.shape[0]) == (3, 5)
    with torch.no_grad():
        assert torch.equal(staged(images()), staged.model(images()))
        assert staged(images()).shape == (2, 3)


@pytest.mark.slow
def test_a_width_of_0_is_that_of_the_features() -> None:
    staged = built("resnet18", HeadSpec(kind="mlp"))
    assert staged.features == 512
    assert staged.model.fc[0].weight.shape == (512, 512)


@pytest.mark.slow
def test_both_layers_come_from_the_heads_seed_alone() -> None:
    one, same, other = (built("resnet18", MLP, seed=seed).model.fc for seed in (0, 0, 1))
    for part in (0, 3):
        assert torch.equal(one[part].weight, same[part].weight)
        assert not torch.equal(one[part].weight, other[part].weight)
        fan_in = one[part].weight.shape[1]
        assert 0.5 * fan_in**-0.5 < one[part].weight.abs().max() <= fan_in**-0.5


@pytest.mark.slow
def test_at_depth_0_the_whole_head_is_trained_and_nothing_else() -> None:
    staged = built("resnet18", MLP)
    staged.set_mode(0, training=True)
    staged(images()).sum().backward()
    learns = {
        key for key, parameter in staged.model.named_parameters() if parameter.grad is not None
    }
    assert learns == {"fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"}


@pytest.mark.slow
def test_the_hidden_units_are_dropped_in_training_alone() -> None:
    staged = built("resnet18", MLP)
    hidden = torch.ones(64, 5)
    staged.set_mode(0, training=True)
    assert (staged.model.fc[2](hidden) == 0).any()
    staged.set_mode(0, training=False)
    assert torch.equal(staged.model.fc[2](hidden), hidden)


@pytest.mark.slow
def test_restored_with_its_head_and_refused_without() -> None:
    trained = built("resnet18", MLP)
    state = trained.model.state_dict()
    again = restore("resnet18", classes=3, image_size=64, state=state, head=MLP)
    with torch.no_grad():
        assert torch.equal(again(images()), trained(images()))
    with pytest.raises(ValueError, match=r"fc\.0\.weight"):
        restore("resnet18", classes=3, image_size=64, state=state)
    with pytest.raises(ValueError, match="shape"):
        restore("resnet18", classes=3, image_size=64, state=state, head=HeadSpec(kind="mlp"))


@pytest.mark.slow
def test_the_body_and_a_linear_head_are_what_they_were() -> None:
    linear, mlp = built("resnet18", HeadSpec()), built("resnet18", MLP)
    for key, tensor in linear.model.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(tensor, mlp.model.state_dict()[key])
    # U(-1/sqrt(F), 1/sqrt(F)) from the head's own generator, weight first.
    generator = torch.Generator().manual_seed(0)
    expected = torch.empty(3, 512).uniform_(-(512**-0.5), 512**-0.5, generator=generator)
    assert torch.equal(linear.model.fc.weight, expected)
