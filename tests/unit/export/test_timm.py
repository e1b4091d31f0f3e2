"""A fine-tuned model of timm's: exported, predicting, loaded by timm alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from search.data.images import ImageTable
from search.export.contents import INFO_FILE
from search.export.predict import Predictor
from search.export.reading import read_info
from search.export.trial import export_trial
from search.space.spec import WeightsFile, WeightsSpec
from search.training.checkpoint import load_trained
from tests.unit.export.conftest import config, origin_of, train
from tests.unit.export.test_card import _logits_by_the_cards_lines

pytestmark = pytest.mark.slow  # a trial is trained first

NAME = "timm:test_vit"


@pytest.fixture(scope="module")
def exported(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The checkpoints of a trial that began with a user's own file, and its export."""
    root = tmp_path_factory.mktemp("timm")
    torch.manual_seed(0)
    start = timm.create_model("test_vit", pretrained=False)
    save_file(start.state_dict(), root / "own.safetensors")
    files = ((NAME, WeightsFile(file=str(root / "own.safetensors"))),)
    weights = WeightsSpec(files=files)
    candidate = train(table, config(NAME, depth=2), 1, root / "00001", weights)
    origin = origin_of(table, root / "cache", weights)
    return candidate.checkpoints, export_trial(origin, candidate, root / "export")


def test_only_what_was_trained_is_in_the_checkpoint_and_all_in_the_export(
    exported: tuple[Path, Path],
) -> None:
    checkpoints, folder = exported
    trained = set(load_trained(checkpoints).tensors)
    staged = Predictor.open(folder, device="cpu")._staged
    owners = staged.owners()
    assert {owners[name] for name in trained} == {"stage3", "stage4", "head"}
    assert "blocks.0.norm1.weight" not in trained
    for name, tensor in load_trained(checkpoints).tensors.items():
        assert torch.equal(staged.model.state_dict()[name], tensor)


def test_it_labels_images(exported: tuple[Path, Path], table: ImageTable) -> None:
    predictor = Predictor.open(exported[1], device="cpu")
    found = predictor.predict([table.absolute(row) for row in table.rows[:3]])
    assert {each.label for each in found} <= set(table.classes)
    assert not any(each.error for each in found)


def test_the_description_has_what_timms_constructor_takes(exported: tuple[Path, Path]) -> None:
    info, _ = read_info(exported[1] / INFO_FILE)
    architecture = info.architecture
    assert (architecture.backbone, architecture.library) == (NAME, "timm")
    assert architecture.library_name == "test_vit.r160_in1k"
    assert dict(architecture.arguments) == {
        "img_size": 32,
        "dynamic_img_size": False,
        "num_classes": 3,
    }


def test_the_cards_lines_load_it_with_timm_alone(
    exported: tuple[Path, Path], tmp_path: Path
) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    theirs = _logits_by_the_cards_lines(exported[1], images, tmp_path)
    with torch.no_grad():
        ours = Predictor.open(exported[1], device="cpu")._staged(images)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
