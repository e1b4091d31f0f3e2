"""Building: the library's own model, a seeded head, frozen and trained blocks."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

from search.backbones.arguments import constructor_arguments
from search.backbones.catalogue import CATALOGUE
from search.backbones.positions import POSITIONS
from search.backbones.stages import Staged, build, restore


def random(name: str, *, classes: int = 3, image_size: int = 64, seed: int = 0) -> Staged:
    return build(name, classes=classes, image_size=image_size, dropout=0.5, state=None, seed=seed)


def pretrained(name: str, state: dict[str, Tensor], *, image_size: int = 64) -> Staged:
    return build(name, classes=3, image_size=image_size, dropout=0.5, state=state, seed=0)


def images(side: int = 64, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(5))


def library_model(name: str, classes: int, image_size: int) -> nn.Module:
    arguments = constructor_arguments(name, classes=classes, image_size=image_size)
    model: nn.Module
    if CATALOGUE[name].library == "timm":
        model = timm.create_model(CATALOGUE[name].library_name, pretrained=False, **arguments)
    else:
        model = models.get_model(name, **arguments)
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "efficientnet_lite0",
        "googlenet",
        "mnasnet0_5",
        "regnet_y_400mf",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
        pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
        pytest.param("swin_t", marks=pytest.mark.slow),
        pytest.param("alexnet", marks=pytest.mark.slow),
        pytest.param("vgg11_bn", marks=pytest.mark.slow),
        pytest.param("vit_b_32", marks=pytest.mark.slow),
    ],
)
def test_the_librarys_own_constructor_loads_it_and_gives_the_same_logits(name: str) -> None:
    staged = random(name, classes=7)
    library = library_model(name, classes=7, image_size=64)
    library.load_state_dict(staged.model.state_dict(), strict=True)
    assert staged.classes == 7
    with torch.no_grad():
        expected = library(images())
        assert expected.shape == (2, 7)
        assert torch.equal(staged(images()), expected)
        assert torch.equal(staged.model(images()), expected)


def tensors(staged: Staged) -> dict[str, Tensor]:
    return dict(staged.model.state_dict())


@pytest.mark.slow
def test_a_head_depends_on_its_seed_and_a_random_body_on_its_own() -> None:
    one, same, other = (
        random("mobilenet_v2"),
        random("mobilenet_v2"),
        random("mobilenet_v2", seed=1),
    )
    torch.testing.assert_close(tensors(one), tensors(same), rtol=0, atol=0)
    assert not torch.equal(one.linear.weight, other.linear.weight)
    more = random("mobilenet_v2", classes=9)
    stem = "features.0.0.weight"
    assert torch.equal(tensors(other)[stem], tensors(one)[stem])
    assert torch.equal(tensors(more)[stem], tensors(one)[stem])
    body = build(
        "mobilenet_v2", classes=3, image_size=64, dropout=0.5, state=None, seed=0, body_seed=1
    )
    assert not torch.equal(tensors(body)[stem], tensors(one)[stem])
    assert torch.equal(body.linear.weight, one.linear.weight)


@pytest.mark.slow
def test_the_head_of_a_pretrained_body_depends_on_the_seed_alone() -> None:
    state = random("mobilenet_v2").model.state_dict()
    heads = [pretrained("mobilenet_v2", state).linear.weight for _ in range(2)]
    assert torch.equal(heads[0], heads[1])
    bound = 1 / 1280**0.5  # U(-1/sqrt(F), 1/sqrt(F)), as torch initialises a linear layer
    assert 0.9 * bound < heads[0].abs().max() <= bound


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "swin_t", "efficientnet_lite0"])
def test_building_leaves_the_global_random_state_alone(name: str) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    staged = random(name)
    assert torch.equal(torch.get_rng_state(), before)
    pretrained(name, staged.model.state_dict())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_the_callers_tensors_are_copied_and_cast() -> None:
    state = random("mobilenet_v3_small").model.state_dict()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    staged = pretrained("mobilenet_v3_small", halves)
    assert {p.dtype for p in staged.parameters()} == {torch.float32}
    again = pretrained("mobilenet_v3_small", state)
    kept = {name: tensor.clone() for name, tensor in state.items()}
    with torch.no_grad():
        for tensor in again.model.state_dict().values():
            tensor.zero_()
    torch.testing.assert_close(dict(state), kept, rtol=0, atol=0)


@pytest.mark.slow
def test_a_head_in_the_state_is_ignored_even_with_as_many_classes() -> None:
    state = random("mobilenet_v2").model.state_dict() | {"classifier.1.weight": torch.ones(3, 1280)}
    staged = pretrained("mobilenet_v2", state)
    assert not torch.equal(staged.linear.weight, state["classifier.1.weight"])
    body = {name: tensor for name, tensor in state.items() if "classifier" not in name}
    without = pretrained("mobilenet_v2", body)
    assert torch.equal(without.linear.weight, staged.linear.weight)
    with torch.no_grad():
        assert torch.equal(without(images()), staged(images()))


@pytest.mark.slow
def test_a_state_that_lacks_a_tensor_or_has_another_shape_is_a_broken_contract() -> None:
    state = random("mobilenet_v2").model.state_dict()
    with pytest.raises(ValueError, match=r"features\.0\.0\.weight"):
        pretrained("mobilenet_v2", {k: v for k, v in state.items() if k != "features.0.0.weight"})
    with pytest.raises(ValueError, match=r"features\.0\.0\.weight"):
        pretrained("mobilenet_v2", state | {"features.0.0.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"image_size": 40}, "image_size=40", id="size"),
        pytest.param({"classes": 0}, "classes=0", id="classes"),
        pytest.param({"dropout": 1.0}, "dropout=1.0", id="dropout"),
    ],
)
def test_values_that_cannot_be_are_named(changes: dict[str, float], message: str) -> None:
    settings = {"classes": 2, "image_size": 32, "dropout": 0.0, "state": None, "seed": 0}
    with pytest.raises(ValueError, match=message):
        build("vit_b_16", **(settings | changes))  # type: ignore[arg-type]


@pytest.mark.slow
def test_restore_gives_a_trained_model_with_its_head() -> None:
    trained = random("efficientnet_lite0", classes=4)
    again = restore(
        "efficientnet_lite0", classes=4, image_size=64, state=trained.model.state_dict()
    )
    with torch.no_grad():
        assert torch.equal(again(images()), trained(images()))
    with pytest.raises(ValueError, match="classifier"):
        restore("efficientnet_lite0", classes=5, image_size=64, state=trained.model.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("depth", range(6))
def test_only_the_last_blocks_and_the_head_train(depth: int) -> None:
    staged = random("mobilenet_v3_small")
    staged.set_mode(5, training=True)
    staged.set_mode(depth, training=True)
    trained = staged.trained_blocks(depth)
    assert trained == staged.blocks[5 - depth :]
    for block in staged.blocks:
        expected = block in trained
        assert {p.requires_grad for p in block.parameters()} == {expected}
        assert {m.training for m in block.modules()} == {expected}
    assert all(p.requires_grad for p in staged.linear.parameters())
    before = {name: tensor.clone() for name, tensor in staged.model.state_dict().items()}
    staged(images()).sum().backward()
    owners = staged.owners()
    moved = {
        owners[name]
        for name, tensor in staged.model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    # Batch statistics move in trained blocks and stand still in frozen ones.
    assert moved == {block.name for block in trained}
    has_gradient = {owners[n] for n, p in staged.model.named_parameters() if p.grad is not None}
    assert has_gradient == {block.name for block in trained} | {"head"}


def test_evaluation_switches_dropout_off_and_keeps_what_is_trained() -> None:
    staged = random("mobilenet_v2")
    staged.set_mode(2, training=True)
    pooled = torch.ones(4, staged.features)
    torch.manual_seed(0)
    assert not torch.equal(staged.head(pooled)[0], staged.head(pooled)[1])
    staged.set_mode(2, training=False)
    assert torch.equal(staged.head(pooled)[0], staged.head(pooled)[1])
    assert not any(module.training for module in staged.model.modules())
    grads = {block.name: {p.requires_grad for p in block.parameters()} for block in staged.blocks}
    assert grads["stage2"] == {False}
    assert grads["stage3"] == {True}


def test_the_head_drops_what_the_setting_says_and_not_what_the_library_does() -> None:
    staged = build("mobilenet_v2", classes=2, image_size=32, dropout=0.0, state=None, seed=0)
    staged.set_mode(0, training=True)  # the library's own dropout would be .2
    with torch.no_grad():
        assert torch.equal(staged(images(32)), staged(images(32)))


@pytest.mark.parametrize("depth", [-1, 6])
def test_a_depth_outside_the_five_blocks_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=f"depth={depth}"):
        random("mobilenet_v2").trained_blocks(depth)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_channels_last_changes_only_rounding(name: str) -> None:
    staged = random(name)
    with torch.no_grad():
        expected = staged(images())
        staged.to(memory_format=torch.channels_last)
        got = staged(images().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_a_vit_says_its_image_size_to_the_constructor() -> None:
    arguments = constructor_arguments("vit_b_16", classes=5, image_size=160)
    assert arguments == {"image_size": 160, "num_classes": 5}
    assert constructor_arguments("resnet50", classes=5, image_size=160) == {"num_classes": 5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [("inception_v3", 75), pytest.param("maxvit_t", 448, marks=pytest.mark.thorough)],
)
def test_a_size_of_its_own_and_no_auxiliary_head_load_into_the_library(
    name: str, size: int
) -> None:
    staged = random(name, classes=4, image_size=size)
    library = library_model(name, classes=4, image_size=size)
    library.load_state_dict(staged.model.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(staged(images(size)), library(images(size)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnasnet0_5", "squeezenet1_0"])
def test_a_plain_mapping_of_tensors_restores_any_model(name: str) -> None:
    trained = random(name, classes=4)
    state = {key: tensor.clone() for key, tensor in trained.model.state_dict().items()}
    again = restore(name, classes=4, image_size=64, state=state)
    body = {key: tensor for key, tensor in state.items() if trained.owners()[key] != "head"}
    fresh = build(name, classes=2, image_size=64, dropout=0.0, state=body, seed=1)
    with torch.no_grad():
        assert torch.equal(again(images()), trained(images()))
        wanted = trained.pool(trained.forward_blocks(images()))
        assert torch.equal(fresh.pool(fresh.forward_blocks(images())), wanted)
        assert fresh(images()).shape == (2, 2)


def test_the_activation_behind_squeezenets_last_layer_learns() -> None:
    staged = random("squeezenet1_1")
    staged.set_mode(1, training=True)
    staged(images()).sum().backward()
    owners = staged.owners()
    learns = {owners[n] for n, p in staged.model.named_parameters() if p.grad is not None}
    assert learns == {"stage4", "head"}


@pytest.mark.slow
def test_a_vit_at_another_size_gets_its_positions_resized() -> None:
    state = models.get_model("vit_b_32", image_size=96).state_dict()
    state[POSITIONS].normal_(generator=torch.Generator().manual_seed(0))
    staged = pretrained("vit_b_32", state, image_size=160)
    got = staged.model.state_dict()[POSITIONS]
    assert got.shape == (1, 26, 768)
    assert torch.equal(got[:, 0], state[POSITIONS][:, 0])
    # Corners aligned: the four corners of the grid stay what they were.
    for new, old in ((1, 1), (5, 3), (21, 7), (25, 9)):
        torch.testing.assert_close(got[:, new], state[POSITIONS][:, old])
    library = library_model("vit_b_32", classes=3, image_size=160)
    library.load_state_dict(staged.model.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(staged(images(160)), library(images(160)))
