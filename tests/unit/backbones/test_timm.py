"""timm's models as the same five blocks: the same function, every tensor in one place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from search.backbones.arguments import HeadSpec, constructor_arguments
from search.backbones.catalogue import CATALOGUE, blocks_of
from search.backbones.construct import skeleton
from search.backbones.layout import layout
from search.backbones.stages import BLOCKS, HEAD, Staged, build, restore
from search.backbones.timm_generate import architectures, row
from search.backbones.timm_layout import timm_layout
from search.backbones.timm_weights import TIMM_POSITIONS
from search.backbones.traced import CannotSplit
from search.backbones.weights import body

FAMILIES = (
    "resnet18.a1_in1k",
    "resnetv2_50",
    "efficientnet_b0",
    "tf_efficientnetv2_b0",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "convnext_atto",
    "regnety_002",
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
    "resmlp_12_224",
    "eva02_tiny_patch14_224",
    "vit_small_patch16_rope_224",
    "densenet121",
    "repvgg_a0",
    "test_vit",
    "test_convnext",
    "test_efficientnet",
    "ghostnet_100",  # draws in its forward pass while it is trained
    "legacy_seresnet18",
)
SWIN = "swin_tiny_patch4_window7_224"
QUICK = ("resnet18.a1_in1k", "test_vit", "test_convnext", "test_efficientnet", "regnety_002")


def some(names: tuple[str, ...] = FAMILIES) -> list[object]:
    return [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow, id=n) for n in names]


def staged(name: str, model: nn.Module) -> Staged:
    return Staged(name, model, layout(name, model), dropout=0.5)


def noise(side: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", some())
def test_the_blocks_are_the_librarys_own_forward_at_the_smallest_size(
    name: str, lively: Callable[[nn.Module], nn.Module]
) -> None:
    row = CATALOGUE[f"timm:{name}"]
    side = row.size.nearest(row.size.minimum)
    arguments = constructor_arguments(row.name, classes=7, image_size=side)
    torch.manual_seed(0)
    theirs = lively(timm.create_model(row.library_name, pretrained=False, **arguments))
    parts = build(row.name, classes=7, image_size=side, dropout=0.5, state=None, seed=0)
    parts.model.load_state_dict(theirs.state_dict(), strict=True)
    images = noise(side)
    with torch.no_grad():
        expected = theirs(images)
        assert not torch.equal(expected[0], expected[1])
        x = images
        for block in parts.blocks:
            before = x.clone()
            y = block(x)
            assert torch.equal(x, before), f"{block.name} changes its input"
            x = y
        assert torch.equal(parts.head(parts.pool(x)), expected)
        assert torch.equal(parts.model(images), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", some())
def test_every_tensor_belongs_to_one_block_or_the_head(name: str) -> None:
    row = CATALOGUE[f"timm:{name}"]
    parts = staged(row.name, skeleton(row.name, classes=9, image_size=row.size.default))
    owned = [key for block in parts.blocks for key, _ in block.named_tensors()]
    assert len(owned) == len(set(owned))
    assert set(parts.owners()) == set(parts.model.state_dict())
    assert set(parts.owners().values()) == {*BLOCKS, HEAD}
    named = [key for block in parts.blocks for key, _ in block.named_parameters()]
    named += [f"{parts.head_name}.{key}" for key, _ in parts.top.named_parameters()]
    assert sorted(named) == sorted(key for key, _ in parts.model.named_parameters())
    assert [count for _, count in blocks_of(row.name)] == [
        sum(parameter.numel() for parameter in block.parameters()) for block in parts.blocks
    ]


def committed() -> dict[str, Any]:
    text = resources.files("search.backbones").joinpath("timm.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def differing(architectures: Sequence[str]) -> list[str]:
    """Those whose committed row is not what timm and our cutting say today."""
    known = committed()
    norms: list[Any] = list(known["norms"])
    wrong = [name for name in architectures if row(name, norms) != known["models"].get(name)]
    assert norms == known["norms"]
    return wrong


@pytest.mark.slow
def test_the_committed_rows_are_what_timm_says_and_what_cutting_it_gives() -> None:
    assert committed()["timm"] == timm.__version__
    assert list(committed()["models"]) == architectures()
    few = [
        "resnet18",
        "test_vit",
        "levit_128",
        "swin_tiny_patch4_window7_224",
        "eva02_tiny_patch14_224",
    ]
    assert differing(few) == [], "run: python -m search.backbones.timm_generate"


@pytest.mark.catalogue
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_architecture_is_cut_as_its_committed_row_says_or_refused() -> None:
    assert differing(architectures()) == [], "run: python -m search.backbones.timm_generate"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "test_vit",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet18", SWIN, "ghostnet_100")),
    ],
)
def test_a_body_filled_from_tensors_is_the_model_that_they_are_from(name: str) -> None:
    row = CATALOGUE[f"timm:{name}"]
    torch.manual_seed(0)
    theirs = timm.create_model(row.library_name, pretrained=False, num_classes=1000).eval()
    state = body(row, theirs.state_dict(), "model.safetensors")
    side = row.size.default
    ours = build(row.name, classes=4, image_size=side, dropout=0.0, state=state, seed=0)
    images = noise(side, 1)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        assert torch.equal(ours.pool(ours.forward_blocks(images)), expected)


@pytest.mark.slow
def test_tensors_under_names_that_timm_still_reads_are_taken() -> None:
    # timm's convnext reads the names of the paper's own code.
    row = CATALOGUE["timm:test_convnext"]
    theirs = timm.create_model("test_convnext", pretrained=False)
    old = {}
    for key, tensor in theirs.state_dict().items():
        key = key.replace("head.norm.", "norm.").replace("head.fc.", "head.")
        key = key.replace("stem.", "downsample_layers.0.")
        key = key.replace(".conv_dw.", ".dwconv.").replace(".mlp.fc", ".pwconv")
        for stage in range(1, 4):
            key = key.replace(f"stages.{stage}.downsample.", f"downsample_layers.{stage}.")
        old[key.replace(".blocks.", ".")] = tensor
    assert set(old) != set(theirs.state_dict())
    state = body(row, old, "model.safetensors")
    for key, tensor in state.items():
        assert torch.equal(tensor, theirs.state_dict()[key])


def test_tensors_of_another_model_are_refused_and_named() -> None:
    from search.problems import SearchError

    theirs = timm.create_model("test_efficientnet", pretrained=False)
    with pytest.raises(SearchError, match=r"does not fit timm:test_convnext"):
        body(CATALOGUE["timm:test_convnext"], theirs.state_dict(), "model.safetensors")


@pytest.mark.parametrize(
    ("tensors", "fact"),
    [
        pytest.param({}, "tensors are missing", id="none"),
        pytest.param(
            {TIMM_POSITIONS: torch.zeros(64)}, r"pos_embed \(64,\) instead of", id="one_dimension"
        ),
    ],
)
def test_tensors_that_timm_cannot_read_are_refused_without_the_network(
    tensors: dict[str, Tensor], fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.problems import SearchError

    asked: list[object] = []

    def no_network(*args: object) -> None:
        asked.append(args)
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setattr("socket.socket.connect", no_network)
    with pytest.raises(SearchError, match=f"does not fit timm:test_vit: .*{fact}"):
        body(CATALOGUE["timm:test_vit"], tensors, "model.safetensors")
    assert asked == []


@pytest.mark.slow
def test_a_vit_at_another_size_gets_its_positions_resized() -> None:
    theirs = timm.create_model("test_vit", pretrained=False, img_size=160, dynamic_img_size=False)
    state = theirs.state_dict()
    state[TIMM_POSITIONS].normal_(generator=torch.Generator().manual_seed(0))
    name = "timm:test_vit"
    ours = build(name, classes=3, image_size=64, dropout=0.0, state=state, seed=0)
    got = ours.model.state_dict()[TIMM_POSITIONS]
    assert got.shape == (1, 1 + 4 * 4, 64)
    assert torch.equal(got[:, 0], state[TIMM_POSITIONS][:, 0])
    arguments = constructor_arguments(name, classes=3, image_size=64)
    again = timm.create_model("test_vit", pretrained=False, **arguments).eval()
    again.load_state_dict(ours.model.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(again(noise(64)), ours(noise(64)))


@pytest.mark.slow
@pytest.mark.parametrize("head", [HeadSpec(), HeadSpec(kind="mlp", hidden=5)])
def test_restored_it_gives_the_same_logits(head: HeadSpec) -> None:
    name = "timm:regnety_002"
    trained = build(name, classes=4, image_size=32, dropout=0.2, state=None, seed=0, head=head)
    state = trained.model.state_dict()
    again = restore(name, classes=4, image_size=32, state=state, head=head)
    with torch.no_grad():
        assert torch.equal(again(noise(32)), trained(noise(32)))


@pytest.mark.slow
@pytest.mark.parametrize("depth", range(6))
def test_only_the_last_blocks_and_the_head_train(depth: int) -> None:
    parts = build("timm:test_vit", classes=3, image_size=32, dropout=0.0, state=None, seed=0)
    parts.set_mode(depth, training=True)
    parts(noise(32)).sum().backward()
    owners = parts.owners()
    learns = {owners[n] for n, p in parts.model.named_parameters() if p.grad is not None}
    assert learns == {block.name for block in parts.trained_blocks(depth)} | {HEAD}


@pytest.mark.slow
def test_the_class_token_and_the_positions_are_the_stems_and_the_last_norm_stage_4s() -> None:
    name = "timm:vit_tiny_patch16_224"
    owners = staged(name, skeleton(name, classes=2, image_size=224)).owners()
    assert {owners[key] for key in ("cls_token", "pos_embed", "patch_embed.proj.weight")} == {
        "stem"
    }
    assert owners["norm.weight"] == "stage4"
    assert [owners[f"blocks.{n}.norm1.weight"] for n in (0, 2, 3, 11)] == [
        "stage1",
        "stage1",
        "stage2",
        "stage4",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("levit_128", "2 heads", id="two_heads"),
        pytest.param("hrnet_w18_small", "inside of something else", id="branches"),
    ],
)
def test_a_model_that_does_not_fall_into_blocks_says_why(name: str, reason: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False, num_classes=3).eval()
    with pytest.raises(CannotSplit, match=reason):
        timm_layout(model)


def test_splitting_leaves_the_model_as_it_was() -> None:
    model = timm.create_model("test_vit", pretrained=False).eval()
    before = (set(vars(model)), list(model.state_dict()))
    with pytest.raises(CannotSplit):
        timm_layout(model)  # of a size that depends on the images
    assert (set(vars(model)), list(model.state_dict())) == before


@pytest.mark.slow
def test_what_timm_remembers_of_weights_is_forgotten_when_they_change() -> None:
    # TinyViT's attention keeps its table of biases in eval mode, until train() is called.
    name = "timm:tiny_vit_5m_224"
    parts = build(name, classes=2, image_size=32, dropout=0.0, state=None, seed=0)
    images = noise(32)
    biases = [each for n, each in parts.model.named_parameters() if "attention_biases" in n]
    assert biases
    with torch.no_grad():
        for epoch in range(2):
            parts.set_mode(5, training=True)
            for each in biases:
                each.normal_(generator=torch.Generator().manual_seed(epoch))
            parts.set_mode(5, training=False)
            found = parts(images)
        again = restore(name, classes=2, image_size=32, state=parts.model.state_dict())
        assert torch.equal(found, again(images))
