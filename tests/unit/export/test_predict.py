from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.images import ImageTable
from search.export.contents import FILES, INFO_FILE, WEIGHTS_FILE, to_document
from search.export.evaluate import evaluate
from search.export.measuring import measure
from search.export.predict import Predictor, exit_status, expand
from search.export.reading import read_info
from search.export.trial import Candidate, export_trial
from search.problems import Exit, SearchError
from search.space.spec import WeightsSpec
from search.training.checkpoint import load_trained
from search.training.metrics import metrics
from tests.unit.export.conftest import config, origin_of, train

pytestmark = pytest.mark.slow  # many short trainings: make test has the time


def test_predict_meets_the_validation_metrics_that_training_recorded(
    folder: Path, candidate: Candidate, table: ImageTable
) -> None:
    found, labels = evaluate(Predictor.open(folder, device="cpu"), table, "val")
    recorded = load_trained(candidate.checkpoints).metrics
    # Training rounds what frozen blocks put out to float16, the exported model does not.
    exact = metrics(found, labels)
    assert exact.pop("loss") == pytest.approx(recorded["loss"], rel=1e-3)
    assert exact == {name: value for name, value in recorded.items() if name != "loss"}
    assert len(labels) == 9


def test_a_pretrained_trial_and_its_export_have_the_same_frozen_blocks(
    table: ImageTable, tmp_path: Path
) -> None:
    """Trained on another body's features, a head would be worth nothing on this one's."""
    trial, weights = config("efficientnet_lite0"), WeightsSpec()
    candidate = train(table, trial, 0, tmp_path / "trials" / "00000", weights)
    model = export_trial(
        origin_of(table, tmp_path / "cache", weights), candidate, tmp_path / "export"
    )
    found, labels = evaluate(Predictor.open(model, device="cpu"), table, "val")
    recorded = load_trained(candidate.checkpoints).metrics
    assert metrics(found, labels)["loss"] == pytest.approx(recorded["loss"], rel=1e-2)


def test_needs_the_folder_and_nothing_else(folder: Path, table: ImageTable, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(folder, moved)
    files = [table.absolute(row) for row in table.rows]
    here = Predictor.open(folder, device="cpu").predict(files)
    there = Predictor.open(moved, device="cpu").predict(files)
    assert here == there
    assert sorted(path.name for path in moved.iterdir()) == sorted(FILES)


def test_an_image_is_labelled_the_same_alone_among_others_and_in_any_order(
    folder: Path, table: ImageTable
) -> None:
    predictor = Predictor.open(folder, device="cpu")
    files = [table.absolute(row) for row in table.rows]
    together, _ = predictor.said(files)
    order = np.random.default_rng(0).permutation(len(files))
    shuffled, _ = predictor.said([files[row] for row in order])
    alone = np.concatenate([predictor.said([file])[0] for file in files[:5]])
    assert np.array_equal(shuffled, together[order])
    assert np.array_equal(alone, together[:5])


def test_the_number_of_threads_changes_nothing(folder: Path, table: ImageTable) -> None:
    files = [table.absolute(row) for row in table.rows]
    one, _ = Predictor.open(folder, device="cpu").said(files)
    torch.set_num_threads(2)
    two, _ = Predictor.open(folder, device="cpu").said(files)
    assert np.array_equal(one, two)


def test_a_bad_image_is_an_entry_of_its_own_and_the_others_are_labelled(
    folder: Path, table: ImageTable, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    (mixed / "deep").mkdir(parents=True)
    good = table.absolute(table.rows[0])
    shutil.copy(good, mixed / "b.png")
    shutil.copy(good, mixed / "deep" / "d.PNG")
    (mixed / "a.jpg").write_bytes(b"not an image")
    (mixed / "notes.txt").write_text("passed over")
    (mixed / ".hidden.png").write_bytes(b"passed over")
    seen: list[tuple[int, int]] = []
    found = Predictor.open(folder, device="cpu").predict(
        [mixed], progress=lambda done, total: seen.append((done, total))
    )
    assert [each.path for each in found] == [
        mixed / "a.jpg",
        mixed / "b.png",
        mixed / "deep" / "d.PNG",
    ]
    assert found[0].error.startswith("is none of JPEG")
    assert found[0].label == ""
    assert found[1].label in table.classes
    assert found[1].probability == max(found[1].probabilities)
    assert sum(found[1].probabilities) == pytest.approx(1, abs=1e-6)
    assert seen[-1] == (3, 3)
    assert exit_status(found) is Exit.DATA
    assert exit_status(found[1:]) is Exit.DONE


@pytest.mark.parametrize("bad", ["a.png", "z.png"])
def test_the_answers_are_counted_to_the_last_image_whichever_cannot_be_read(
    folder: Path, table: ImageTable, tmp_path: Path, bad: str
) -> None:
    (tmp_path / bad).write_bytes(b"not an image")
    shutil.copy(table.absolute(table.rows[0]), tmp_path / "b.png")
    seen: list[tuple[int, int]] = []
    Predictor.open(folder, device="cpu").said(
        sorted(tmp_path.glob("*.png")), answered=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (2, 2)
    assert seen == sorted(seen)


def test_paths_that_do_not_exist_or_hold_no_image_are_all_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SearchError) as caught:
        expand([tmp_path / "none.png", empty])
    assert [problem.fact for problem in caught.value.problems] == [
        f"{tmp_path / 'none.png'}: no such file or folder",
        f"{empty}: no image in it",
    ]


def _spoil(folder: Path, change: dict[str, object]) -> None:
    document = json.loads((folder / INFO_FILE).read_text())
    (folder / INFO_FILE).write_text(json.dumps(document | change))


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        pytest.param({"version": 99}, "format version 99", id="newer"),
        pytest.param({"version": "1"}, "no format version '1'", id="version_as_text"),
        pytest.param({"format": "other"}, "not the model.json", id="foreign"),
        pytest.param({"labels": ["a", "b"]}, "2 labels do not fit", id="too_few_labels"),
        pytest.param({"labels": ["a", "a", "b"]}, "distinct", id="same_labels"),
        pytest.param({"labels": [1, 2, 3]}, "labels must be a list", id="numbers_as_labels"),
        pytest.param({"architecture": []}, "architecture must be an object", id="no_object"),
        pytest.param({"trial": -1}, "trial must be", id="negative_trial"),
        pytest.param({"objective": "beauty"}, "no metric 'beauty'", id="objective"),
        pytest.param({"weights": {"sha256": "0" * 64}}, "its sha256 is not", id="hash"),
        pytest.param({"preprocessing": {}}, "interpolation", id="empty_preprocessing"),
    ],
)
def test_a_model_json_that_does_not_hold_is_refused(
    folder: Path, change: dict[str, object], fact: str
) -> None:
    _spoil(folder, change)
    with pytest.raises(SearchError, match=fact) as caught:
        Predictor.open(folder)
    assert caught.value.status is Exit.USAGE


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        pytest.param({"backbone": "no_such"}, "not in this version's catalogue", id="unknown"),
        pytest.param({"library_name": "resnet50"}, "resnet18 is not resnet50", id="other_name"),
        pytest.param({"library": "os"}, "no library 'os'", id="other_library"),
        pytest.param({"arguments": {"num_classes": 3, "width": 9}}, "arguments are not", id="args"),
        pytest.param({"image_size": 64}, "decoded_side does not fit", id="size"),
    ],
)
def test_an_architecture_that_is_not_the_catalogues_is_refused(
    folder: Path, change: dict[str, object], fact: str
) -> None:
    document = json.loads((folder / INFO_FILE).read_text())
    _spoil(folder, {"architecture": document["architecture"] | change})
    with pytest.raises(SearchError, match=fact):
        Predictor.open(folder)


@pytest.mark.parametrize(
    ("backbone", "library_name", "fix"),
    [
        pytest.param("timm:test_vit", "test_vit.r160_in1k", "finetune-search[timm]", id="timm"),
        pytest.param(
            "efficientnet_lite0", "tf_efficientnet_lite0", "finetune-search[demo]", id="lite"
        ),
    ],
)
def test_without_timm_the_fix_installs_the_part_that_the_backbone_is_of(
    folder: Path, backbone: str, library_name: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "timm" else find(name)
    )
    document = json.loads((folder / INFO_FILE).read_text())
    change = {"backbone": backbone, "library": "timm", "library_name": library_name}
    _spoil(folder, {"architecture": document["architecture"] | change})
    with pytest.raises(SearchError, match="needs timm, which is not installed") as caught:
        Predictor.open(folder)
    assert caught.value.status is Exit.MISSING
    assert fix in str(caught.value.problems[0].fix)


@pytest.mark.parametrize("size", [8, 10**6])
def test_a_size_that_the_backbone_does_not_take_is_refused(folder: Path, size: int) -> None:
    document = json.loads((folder / INFO_FILE).read_text())
    _spoil(
        folder,
        {
            "architecture": document["architecture"] | {"image_size": size},
            "preprocessing": document["preprocessing"] | {"decoded_side": round(1.25 * size)},
        },
    )
    with pytest.raises(SearchError, match=f"resnet18 does not take image_size {size}"):
        Predictor.open(folder)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_value_anywhere_in_model_json_is_taken_or_refused_but_never_a_crash(
    exported: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    document = json.loads((exported / INFO_FILE).read_text())
    probabilities = np.eye(3, dtype=np.float32)
    test = measure(probabilities, np.arange(3), document["labels"], seed=0, resamples=5)
    place = document | {"test": test.to_json()}
    whole = place
    while isinstance(place, dict) and place:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            place[key] = data.draw(_JSON)
            break
        place = place[key]
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text(json.dumps(whole))
    with contextlib.suppress(SearchError):
        json.dumps(to_document(read_info(path)[0], sha256=""))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\ud800", "[" * 5000, '{"a": NaN}'])
def test_a_model_json_that_is_no_json_object_of_ours_is_refused(folder: Path, text: str) -> None:
    (folder / INFO_FILE).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SearchError, match=r"model\.json"):
        Predictor.open(folder)


@pytest.mark.parametrize("kind", ["truncated", "flipped", "pickle", "gone"])
def test_damaged_weights_are_refused(folder: Path, kind: str) -> None:
    path = folder / WEIGHTS_FILE
    content = path.read_bytes()
    path.unlink()
    if kind == "pickle":
        torch.save({"fc.weight": torch.zeros(1)}, path)
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(SearchError, match=r"model\.safetensors: damaged"):
        Predictor.open(folder)


def test_weights_of_another_model_are_refused_even_with_the_right_hash(folder: Path) -> None:
    from safetensors.torch import save_file

    from search.export.model_folder import file_sha256

    (folder / WEIGHTS_FILE).unlink()
    save_file({"fc.weight": torch.zeros(3, 4)}, folder / WEIGHTS_FILE)
    _spoil(folder, {"weights": {"sha256": file_sha256(folder / WEIGHTS_FILE)}})
    with pytest.raises(SearchError, match=r"model\.safetensors: damaged"):
        Predictor.open(folder)


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_what_is_no_export_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model"
    if kind == "file":
        path.write_text("x")
    elif kind == "empty":
        path.mkdir()
    with pytest.raises(SearchError, match=str(path)) as caught:
        Predictor.open(path)
    assert caught.value.status is Exit.USAGE
