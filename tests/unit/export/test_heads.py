"""An exported ``head: mlp``: it predicts as it did, here and without this project."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search.data.images import ImageTable
from search.export.contents import INFO_FILE
from search.export.predict import Predictor
from search.export.reading import read_info
from search.export.trial import export_trial
from search.problems import SearchError
from search.space.spec import WeightsSpec
from search.training.checkpoint import assemble, load_trained
from tests.unit.export.conftest import config, origin_of, train
from tests.unit.export.test_card import _logits_by_the_cards_lines

pytestmark = pytest.mark.slow  # a trial is trained first


@pytest.fixture(scope="module")
def trained(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The checkpoints of a trial, and its export."""
    root = tmp_path_factory.mktemp("mlp")
    trial = replace(config(), head="mlp", head_hidden=6)
    candidate = train(table, trial, 2, root / "00002", WeightsSpec(source="random"))
    return candidate.checkpoints, export_trial(
        origin_of(table, root / "cache"), candidate, root / "export"
    )


def test_it_predicts_what_the_trial_did(trained: tuple[Path, Path]) -> None:
    checkpoints, folder = trained
    checkpoint = load_trained(checkpoints)
    ours = assemble(checkpoint, None, weights_hash=checkpoint.weights_hash)
    staged = Predictor.open(folder, device="cpu")._staged
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(staged(images), ours(images))


def test_the_description_carries_it(trained: tuple[Path, Path]) -> None:
    info, _ = read_info(trained[1] / INFO_FILE)
    assert (info.architecture.head.kind, info.architecture.head.hidden) == ("mlp", 6)
    assert info.architecture.head_name == "fc"
    assert not info.architecture.convolution


def test_the_cards_lines_build_it_without_this_project(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = trained[1]
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    theirs = _logits_by_the_cards_lines(folder, images, tmp_path)
    with torch.no_grad():
        ours = Predictor.open(folder, device="cpu")._staged(images)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param({"kind": "forest"}, id="kind"),
        pytest.param({"hidden": 10**9}, id="width"),
        pytest.param({"name": 'fc"); import os #'}, id="name"),
        pytest.param({"convolution": 1}, id="layer"),
        pytest.param({"hidden": 7}, id="other_width"),
    ],
)
def test_a_head_that_is_none_is_refused(
    head: dict[str, object], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "model.safetensors").hardlink_to(trained[1] / "model.safetensors")
    document = json.loads((trained[1] / INFO_FILE).read_text())
    document["architecture"]["head"] |= head
    (folder / INFO_FILE).write_text(json.dumps(document))
    with pytest.raises(SearchError, match="damaged"):
        Predictor.open(folder, device="cpu")
