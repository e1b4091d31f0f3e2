from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.backbones.arguments import constructor_arguments
from search.backbones.stages import build
from search.data.images import ImageTable
from search.export.card import card, library_lines
from search.export.contents import INFO_FILE, Architecture, ModelInfo
from search.export.measuring import measure
from search.export.predict import Predictor
from search.export.reading import read_info
from search.export.trial import export_trial
from search.space.spec import METRICS, WeightsSpec
from tests.unit.export.conftest import config, origin_of, train


@pytest.fixture(scope="module")
def info(exported: Path) -> ModelInfo:
    return read_info(exported / INFO_FILE)[0]


def _measured(info: ModelInfo) -> ModelInfo:
    labels = np.arange(60) % len(info.labels)
    scores = np.random.default_rng(0).random((60, len(info.labels)))
    found = scores / scores.sum(axis=1, keepdims=True)
    return replace(info, test=measure(found, labels, info.labels, seed=0, resamples=50))


@pytest.mark.slow
def test_a_card_without_test_figures_says_so_for_every_metric(info: ModelInfo) -> None:
    text = card(info)
    assert text.count("not measured") == len(METRICS)
    assert "The test set has not been opened for this trial." in text
    assert "Confusion" not in text


def test_a_card_with_test_figures_shows_n_interval_classes_and_confusion(info: ModelInfo) -> None:
    measured = _measured(info)
    text = card(measured)
    assert measured.test is not None
    low = measured.test.intervals["accuracy"].low
    assert "test, n = 60, 95 % interval" in text
    assert f"[{low:.3f}, " in text
    assert "not measured" not in text
    assert "### Confusion matrix, on test" in text
    assert text.count("| green |") == 2


def test_many_classes_have_no_confusion_matrix_and_a_short_list(info: ModelInfo) -> None:
    names = tuple(f"class {number}" for number in range(80))
    text = card(_measured(replace(info, labels=names)))
    assert "Confusion" not in text
    assert "class 49 and 30 more" in text


@pytest.mark.slow
@given(names=st.lists(st.text(min_size=1), min_size=3, max_size=3, unique=True))
@settings(max_examples=50, deadline=None)
def test_no_class_name_changes_the_structure_of_the_card(exported: Path, names: list[str]) -> None:
    plain = _measured(read_info(exported / INFO_FILE)[0])
    hostile = _measured(replace(plain, labels=tuple(names)))
    expected, found = (card(each).split("\n") for each in (plain, hostile))
    assert [line.count("|") for line in found] == [line.count("|") for line in expected]
    assert [line[:2] for line in found] == [line[:2] for line in expected]


def test_the_cards_lines_name_the_librarys_own_constructor(info: ModelInfo) -> None:
    vit = Architecture(
        backbone="vit_b_16",
        library="torchvision",
        library_name="vit_b_16",
        arguments=constructor_arguments("vit_b_16", classes=3, image_size=160),
        image_size=160,
    )
    assert library_lines(replace(info, architecture=vit)) == (
        "from safetensors.torch import load_file\n"
        "from torchvision.models import get_model\n"
        "\n"
        'model = get_model("vit_b_16", image_size=160, num_classes=3)\n'
        'model.load_state_dict(load_file("model.safetensors"))\n'
        "model.eval()"
    )


_WITHOUT_US = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "search":
            raise ImportError("search is blocked")
sys.meta_path.insert(0, Blocked())
"""
_COMPARE = """
import torch
assert not [name for name in sys.modules if name.split(".")[0] == "search"]
with torch.no_grad():
    torch.save(model(torch.load(sys.argv[1])), sys.argv[2])
"""


def _logits_by_the_cards_lines(folder: Path, images: torch.Tensor, scratch: Path) -> torch.Tensor:
    text = (folder / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)\n```", text, flags=re.DOTALL)
    torch.save(images, scratch / "images.pt")
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"{_WITHOUT_US}\n{lines}\n{_COMPARE}",
            str(scratch / "images.pt"),
            str(scratch / "logits.pt"),
        ],
        cwd=folder,
        check=True,
    )
    logits: torch.Tensor = torch.load(scratch / "logits.pt")
    return logits


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        "efficientnet_lite0",
        "mobilenet_v3_small",
        pytest.param("resnet18", marks=pytest.mark.thorough),
    ],
)
def test_the_cards_lines_give_the_same_logits_without_this_project(
    backbone: str, table: ImageTable, tmp_path: Path
) -> None:
    weights = WeightsSpec(source="pretrained" if backbone == "efficientnet_lite0" else "random")
    trained = train(table, config(backbone, depth=2), 0, tmp_path / "00000", weights)
    origin = origin_of(table, tmp_path / "cache", weights)
    folder = export_trial(origin, trained, tmp_path / "export")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    theirs = _logits_by_the_cards_lines(folder, images, tmp_path)
    staged = Predictor.open(folder, device="cpu")._staged
    with torch.no_grad():
        ours = staged(images)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("vit_b_32", 64, marks=pytest.mark.thorough),
        ("mnasnet0_5", 64),
        ("googlenet", 64),
        pytest.param("maxvit_t", 224, marks=pytest.mark.thorough),
    ],
)
def test_what_its_constructor_must_be_told_is_in_the_cards_lines(
    name: str, size: int, info: ModelInfo, tmp_path: Path
) -> None:
    from search.export.model_folder import ModelContents, write_folder

    staged = build(name, classes=3, image_size=size, dropout=0.0, state=None, seed=0)
    architecture = Architecture(
        backbone=name,
        library="torchvision",
        library_name=name,
        arguments=constructor_arguments(name, classes=3, image_size=size),
        image_size=size,
    )
    model = ModelContents(
        info=replace(info, architecture=architecture), state=staged.model.state_dict()
    )
    folder = write_folder(tmp_path / "export", model)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    theirs = _logits_by_the_cards_lines(folder, images, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(theirs, staged(images), rtol=1e-4, atol=1e-5)
        again = Predictor.open(folder, device="cpu")._staged
        torch.testing.assert_close(again(images), staged(images), rtol=1e-4, atol=1e-5)
