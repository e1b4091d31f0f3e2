"""Tensors against the model: names, shapes, heads, older names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from search.backbones.arguments import AUXILIARY
from search.backbones.availability import Located, locate
from search.backbones.catalogue import CATALOGUE
from search.backbones.download import body_seed
from search.backbones.files import read_tensors
from search.backbones.positions import POSITIONS
from search.backbones.stages import build
from search.backbones.weights import body, load_state, weights_hash
from search.problems import Exit, SearchError
from search.space.spec import WeightsFile, WeightsSpec

LITES = ["efficientnet_lite0", "efficientnet_lite1"]


def packaged(name: str, tmp_path: Path) -> Located:
    located = locate(name, WeightsSpec(), tmp_path)
    assert isinstance(located, Located)
    return located


def local(name: str, file: Path) -> Located:
    spec = WeightsSpec(files=((name, WeightsFile(file=str(file))),))
    located = locate(name, spec, file.parent)
    assert isinstance(located, Located)
    return located


def model(name: str, classes: int = 1000) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: nn.Module = (
            timm.create_model(CATALOGUE[name].library_name, num_classes=classes)
            if CATALOGUE[name].library == "timm"
            else models.get_model(name, num_classes=classes)
        )
    return made.eval()


def fact(raised: pytest.ExceptionInfo[SearchError]) -> str:
    (problem,) = raised.value.problems
    return problem.fact


@pytest.mark.slow
@pytest.mark.parametrize("name", LITES)
def test_packaged_weights_fit_timms_model(name: str, tmp_path: Path) -> None:
    located = packaged(name, tmp_path)
    state = load_state(located)
    assert state is not None
    assert not [key for key in state if key.startswith("classifier")]
    with torch.device("meta"):
        wanted = timm.create_model(CATALOGUE[name].library_name, num_classes=0)
    assert set(state) == set(wanted.state_dict())
    # Trained, not initialised: running variances are far from the 1 they start at.
    assert state["bn2.running_var"].log().abs().mean() > 0.1
    assert weights_hash(located) == located.sha256


@pytest.mark.slow
def test_names_of_both_libraries_give_the_same_body(tmp_path: Path) -> None:
    located = packaged("efficientnet_lite0", tmp_path)
    theirs = load_state(located)
    assert theirs is not None
    save_file(theirs, tmp_path / "renamed.safetensors")
    mine = load_state(local("efficientnet_lite0", tmp_path / "renamed.safetensors"))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.slow
def test_the_other_lite_backbones_file_is_refused(tmp_path: Path) -> None:
    located = packaged("efficientnet_lite1", tmp_path)
    assert located.path is not None
    with pytest.raises(SearchError) as raised:
        body(CATALOGUE["efficientnet_lite0"], read_tensors(located.path), "lite1.pth")
    assert "lite1.pth does not fit efficientnet_lite0" in fact(raised)


def test_names_that_do_not_follow_the_pattern_are_unknown(tmp_path: Path) -> None:
    located = packaged("efficientnet_lite0", tmp_path)  # has the blocks 0 to 15
    assert located.path is not None
    names = ["_blocks.16._bn0.weight", "_blocks.x.weight", "_blocks.3", "_other"]
    more = read_tensors(located.path) | {name: torch.zeros(1) for name in names}
    with pytest.raises(SearchError) as raised:
        body(CATALOGUE["efficientnet_lite0"], more, "mine")
    assert fact(raised).endswith(f"4 tensors are unknown: {', '.join(names)}")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("head", ["other_classes", "none"])
def test_a_local_file_with_any_head_or_none_gives_the_body(
    tmp_path: Path, ending: str, head: str
) -> None:
    original = model("resnet18", classes=7)
    state = original.state_dict()
    if head == "none":
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    file = tmp_path / f"mine.{ending}"
    if ending == "pth":
        torch.save(state, file)
    else:
        save_file(state, file)
    got = load_state(local("resnet18", file))
    assert got is not None
    staged = build("resnet18", classes=3, image_size=64, dropout=0.0, state=got, seed=0)
    images = torch.randn(2, 3, 64, 64)
    original.fc = nn.Identity()
    with torch.no_grad():
        assert torch.equal(staged.pool(staged.forward_blocks(images)), original(images))


@pytest.mark.slow
def test_missing_and_unknown_tensors_are_counted_and_named() -> None:
    tensors = model("resnet18").state_dict()
    state = {
        (f"module.{key}" if key.startswith("layer1.") else key): value
        for key, value in tensors.items()
        if not key.startswith("layer4.1.conv")
    }
    with pytest.raises(SearchError) as raised:
        body(CATALOGUE["resnet18"], state, "mine.pth")
    assert raised.value.status is Exit.USAGE
    # layer1: 2 blocks x (2 convs + 2 norms of 5 tensors) = 24; layer4.1: 2 convs
    # num_batches_tracked is filled in for files of old versions: 24 + 2 - 4 = 22
    assert "22 tensors are missing: layer1.0.conv1.weight, " in fact(raised)
    assert "and 18 more" in fact(raised)
    assert "24 tensors are unknown: module.layer1.0.conv1.weight, " in fact(raised)


@pytest.mark.slow
def test_wrong_shapes_and_types_are_counted_and_named() -> None:
    state = dict(model("resnet18").state_dict())
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    state["bn1.weight"] = torch.ones(64, dtype=torch.int64)
    with pytest.raises(SearchError) as raised:
        body(CATALOGUE["resnet18"], state, "mine.pth")
    assert "2 tensors have another shape" in fact(raised)
    assert "conv1.weight (64, 1, 7, 7) instead of (64, 3, 7, 7)" in fact(raised)
    assert "bn1.weight (64,) int64 instead of (64,)" in fact(raised)


def test_another_architecture_is_refused() -> None:
    with pytest.raises(SearchError, match="mine does not fit resnet18"):
        body(CATALOGUE["resnet18"], model("mobilenet_v2").state_dict(), "mine")


@pytest.mark.slow
def test_half_precision_becomes_float32() -> None:
    state = {
        k: v.bfloat16() if v.is_floating_point() else v
        for k, v in model("resnet18").state_dict().items()
    }
    got = body(CATALOGUE["resnet18"], state, "mine")
    assert {tensor.dtype for tensor in got.values()} == {torch.float32, torch.int64}


@pytest.mark.slow
def test_a_file_from_before_batches_were_counted_is_read() -> None:
    state = {k: v for k, v in model("resnet18").state_dict().items() if "num_batches" not in k}
    got = body(CATALOGUE["resnet18"], state, "mine")
    assert got["bn1.num_batches_tracked"] == 0


def vit_tensors(size: int = 224) -> dict[str, Tensor]:
    """All tensors of vit_b_16 without the memory: each a 0 seen as a whole."""
    with torch.device("meta"):
        shapes = models.get_model("vit_b_16", image_size=size).state_dict()
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in shapes.items()}


@pytest.mark.slow
def test_the_older_names_of_torchvisions_vit_files_are_read() -> None:
    old = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
        for key, value in vit_tensors().items()
    }
    assert any("linear_1" in key for key in old)
    got = body(CATALOGUE["vit_b_16"], old, "mine")
    assert set(got) == {key for key in vit_tensors() if not key.startswith("heads")}
    old["encoder.layers.encoder_layer_0.mlp.linear_1.weight"] = torch.zeros(3)
    with pytest.raises(SearchError, match=r"size mismatch for .*encoder_layer_0\.mlp"):
        body(CATALOGUE["vit_b_16"], old, "mine")


@pytest.mark.slow
def test_positions_of_any_square_grid_are_kept_for_build_to_resize() -> None:
    tensors = vit_tensors(size=96)
    assert body(CATALOGUE["vit_b_16"], tensors, "mine")[POSITIONS].shape == (1, 37, 768)
    for bad in (torch.zeros(1, 38, 768), torch.zeros(1, 37, 384), torch.zeros(37, 768)):
        with pytest.raises(SearchError, match="pos_embedding has the shape"):
            body(CATALOGUE["vit_b_16"], tensors | {POSITIONS: bad}, "mine")
    del tensors[POSITIONS]
    with pytest.raises(SearchError, match=r"1 tensors are missing: encoder\.pos_embedding"):
        body(CATALOGUE["vit_b_16"], tensors, "mine")


@pytest.mark.slow
def test_damaged_bytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    located = packaged("efficientnet_lite0", tmp_path)
    assert located.path is not None
    content = bytearray(located.path.read_bytes())
    content[len(content) // 2] ^= 1
    flipped = tmp_path / located.path.name
    flipped.write_bytes(content)
    bad = Located(
        name=located.name,
        path=flipped,
        sha256=located.sha256,
        preprocessing=located.preprocessing,
    )
    with pytest.raises(SearchError, match="is damaged") as raised:
        load_state(bad)
    assert raised.value.status is Exit.MISSING


def test_random_weights_have_no_file_and_are_named_by_their_seed(tmp_path: Path) -> None:
    located = locate("resnet18", WeightsSpec(source="random"), tmp_path)
    assert isinstance(located, Located)
    assert located.path is None
    assert load_state(located) is None
    assert weights_hash(located, seed=7) == "random-body:7"
    assert body_seed("random-body:7") == 7
    assert body_seed("random:7") == body_seed("f00d" * 16) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "densenet121",
        "googlenet",
        "inception_v3",
        pytest.param("maxvit_t", marks=pytest.mark.slow),
        "mnasnet0_5",
        "regnet_y_400mf",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
    ],
)
def test_the_librarys_own_file_gives_the_librarys_features(name: str, tmp_path: Path) -> None:
    """As torchvision makes it where it loads weights: auxiliary heads, versions."""
    more = {"aux_logits": True, "init_weights": False, "transform_input": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = models.get_model(name, **(more if name in AUXILIARY else {})).eval()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    state = load_state(local(name, tmp_path / "theirs.pth"))
    assert state is not None
    assert not [key for key in state if key.startswith(AUXILIARY.get(name, ("none",)))]
    side = CATALOGUE[name].size.nearest(64)
    staged = build(name, classes=1000, image_size=side, dropout=0.0, state=state, seed=0)
    with torch.no_grad():
        for key, tensor in staged.linear.named_parameters():
            tensor.copy_(theirs.state_dict()[f"{staged.head_name}.{key}"])
        images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
        assert torch.equal(staged(images), theirs(images))


@pytest.mark.slow
def test_other_tensors_beside_auxiliary_heads_are_still_unknown() -> None:
    state = models.get_model("googlenet", init_weights=False).state_dict()
    with pytest.raises(SearchError, match=r"1 tensors are unknown: aux3\.conv"):
        body(CATALOGUE["googlenet"], state | {"aux3.conv": torch.zeros(1)}, "mine")


@pytest.mark.slow
def test_the_older_names_of_torchvisions_densenet_files_are_read() -> None:
    state = model("densenet121").state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): tensor
        for key, tensor in state.items()
        if "num_batches" not in key
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    got = body(CATALOGUE["densenet121"], old, "mine")
    assert {key for key in state if not key.startswith("classifier")} == set(got)
    conv = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(got[conv], state[conv])
