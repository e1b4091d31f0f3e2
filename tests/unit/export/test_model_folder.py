from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from search.backbones.catalogue import CATALOGUE
from search.backbones.timm_names import timm_names
from search.data.images import ImageTable
from search.export.contents import FILES, INFO_FILE, WEIGHTS_FILE
from search.export.measuring import measure
from search.export.model_folder import ModelContents, check_destination, file_sha256, write_folder
from search.export.reading import read_info
from search.export.trial import Candidate, Origin, contents, has_weights, origins
from search.problems import Exit, SearchError


@pytest.fixture
def model(exported: Path) -> ModelContents:
    """The exported model's facts with two tensors: writing does not look at them."""
    info, _ = read_info(exported / INFO_FILE)
    linear = torch.arange(12.0).reshape(3, 4)
    return ModelContents(info=info, state={"fc.weight": linear.T, "shared": linear.T})


@pytest.mark.slow
def test_the_folder_holds_three_files_that_say_what_the_model_is(
    exported: Path, candidate: Candidate, table: ImageTable
) -> None:
    assert sorted(os.listdir(exported)) == sorted(FILES)
    assert len({(exported / name).stat().st_mode for name in FILES}) == 1
    info, sha256 = read_info(exported / INFO_FILE)
    assert sha256 == file_sha256(exported / WEIGHTS_FILE)
    assert info.labels == table.classes
    assert info.images == {"train": 12, "val": 9, "test": 15}
    assert (info.trial, info.study, info.test, info.start) == (4, "colours", None, "random")
    assert info.params == candidate.params
    assert info.licences == ("images: CC0, drawn by a test",)
    assert info.architecture.arguments == {"num_classes": 3}


@pytest.mark.parametrize(
    ("backbone", "line"),
    [
        pytest.param("timm:resnet18.a1_in1k", "resnet18.a1_in1k, licence: apache-2.0", id="stated"),
        pytest.param(
            "timm:tiny_vit_5m_224",
            "tiny_vit_5m_224.dist_in22k, licence: apache-2.0",
            id="usual",
        ),
        pytest.param("efficientnet_lite0", "tf_efficientnet_lite0, licence: Apache-2.0", id="lite"),
    ],
)
def test_what_a_model_was_fine_tuned_from_has_its_licence_beside_it(
    origin: Origin, backbone: str, line: str
) -> None:
    _, (weights, images) = origins(origin, CATALOGUE[backbone], random=False)
    assert weights == f"weights: fine-tuned from {line}"
    assert images == "images: CC0, drawn by a test"


def test_a_licence_that_timm_does_not_state_is_said_to_be_so(origin: Origin) -> None:
    silent = [name for name in timm_names() if "not stated" in CATALOGUE[name].licence]
    assert len(silent) > 10
    assert {CATALOGUE[name].licence for name in timm_names()}.isdisjoint({"", "unknown"})
    _, (weights, _) = origins(origin, CATALOGUE[silent[0]], random=False)
    assert weights.endswith(", licence: not stated, see timm's model page")


def test_what_is_written_is_what_is_read(model: ModelContents, tmp_path: Path) -> None:
    probabilities = torch.eye(3).numpy()
    test = measure(probabilities, probabilities.argmax(1), model.info.labels, seed=0, resamples=9)
    measured = model.measured(test, on="cpu")
    target = write_folder(tmp_path / "deep" / "export", measured)
    info, _ = read_info(target / INFO_FILE)
    assert info == measured.info
    tensors = load_file(target / WEIGHTS_FILE)
    assert torch.equal(tensors["fc.weight"], torch.arange(12.0).reshape(3, 4).T)
    assert torch.equal(tensors["shared"], tensors["fc.weight"])


def test_an_earlier_export_is_replaced_and_nothing_stays_beside_it(
    model: ModelContents, tmp_path: Path
) -> None:
    target = write_folder(tmp_path / "export", model)
    later = replace(model, info=replace(model.info, trial=9))
    assert write_folder(tmp_path / "export", later) == target
    assert read_info(target / INFO_FILE)[0].trial == 9
    assert os.listdir(tmp_path) == ["export"]


def test_an_empty_folder_and_a_link_to_one_are_taken(model: ModelContents, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert write_folder(tmp_path / "link", model) == (tmp_path / "real").resolve()
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path / "real")) == sorted(FILES)


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        pytest.param("photo.jpg", "holds photo.jpg", id="foreign"),
        pytest.param("README.md", "is not an earlier export", id="only_a_readme"),
        pytest.param(".git", "holds .git", id="hidden"),
    ],
)
def test_a_folder_that_is_not_an_export_is_refused_and_left_alone(
    model: ModelContents, tmp_path: Path, name: str, fact: str
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / name).write_text("mine")
    with pytest.raises(SearchError, match=fact) as caught:
        write_folder(tmp_path / "export", model)
    assert caught.value.status is Exit.USAGE
    assert (tmp_path / "export" / name).read_text() == "mine"
    assert os.listdir(tmp_path) == ["export"]


def test_a_file_added_to_an_export_keeps_it_from_being_replaced(
    model: ModelContents, tmp_path: Path
) -> None:
    target = write_folder(tmp_path / "export", model)
    (target / "notes.txt").write_text("mine")
    with pytest.raises(SearchError, match=r"holds notes\.txt"):
        write_folder(target, model)


@pytest.mark.parametrize("path", ["/", "file", "a\0b", "circle"])
def test_a_destination_that_is_no_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(SearchError) as caught:
        check_destination(tmp_path / path)
    assert caught.value.status is Exit.USAGE


def test_where_nothing_may_be_written_that_is_said(model: ModelContents, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SearchError, match=r"cannot be written: (Not a directory|File exists)"):
        write_folder(tmp_path / "file" / "export", model)


@pytest.mark.parametrize("limit", [100, 700, 1500])
def test_a_disk_that_fills_up_leaves_no_half_of_a_folder(
    model: ModelContents, tmp_path: Path, limit: int
) -> None:
    """A file size limit fails the same calls as a full disk, at three places."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old = write_folder(tmp_path / "export", model)
    larger = replace(model, state={"fc.weight": torch.zeros(100)})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(SearchError, match="cannot be written: File too large"):
            write_folder(tmp_path / "export", larger)
        with pytest.raises(SearchError, match="cannot be written"):
            write_folder(tmp_path / "other", larger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == ["export"]
    assert "shared" in load_file(old / WEIGHTS_FILE)


_KILLED = """
import os, sys, torch
from pathlib import Path
from search.export import model_folder
from search.export.reading import read_info

info, _ = read_info(Path(sys.argv[1]) / "model.json")
model = model_folder.ModelContents(info=info, state={"a": torch.zeros(2)})
left = 0

def killed(call):
    def run(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*arguments, **named)
    return run

model_folder._sync = killed(model_folder._sync)
Path.rename = killed(Path.rename)
for calls in range(10):
    for earlier in ("none", "some"):
        child = os.fork()
        if not child:
            target = Path(sys.argv[2], f"{earlier}-{calls}", "export")
            if earlier == "some":
                left = 1000
                model_folder.write_folder(target, model)
            left = calls
            model_folder.write_folder(target, model)
            os._exit(0)
        print(earlier, calls, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_process_killed_at_any_step_leaves_a_whole_folder_or_none(
    exported: Path, model: ModelContents, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(exported), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    died = Counter()
    for line in done.stdout.splitlines():
        earlier, calls, status = line.split()
        died[earlier] += status == "9"
        assert status in ("0", "9")
        target = tmp_path / f"{earlier}-{calls}" / "export"
        if target.exists():
            _, sha256 = read_info(target / INFO_FILE)
            assert file_sha256(target / WEIGHTS_FILE) == sha256
            assert sorted(os.listdir(target)) == sorted(FILES)
        write_folder(target, model)  # the next one clears away what was left
        assert os.listdir(target.parent) == ["export"]
    # Three files and the new folder synced, renamed, the parent synced; and one
    # more rename where an earlier export is moved aside.
    assert died == {"none": 6, "some": 7}


def test_a_trial_whose_weights_are_gone_is_named(
    origin: Origin, candidate: Candidate, tmp_path: Path
) -> None:
    gone = replace(candidate, number=7, checkpoints=tmp_path / "00007")
    assert not has_weights(gone.checkpoints)
    assert has_weights(candidate.checkpoints)
    with pytest.raises(SearchError, match="trial 7 of colours has no usable weights") as caught:
        contents(origin, gone)
    assert caught.value.status is Exit.USAGE


@pytest.mark.slow
def test_a_flipped_byte_in_the_checkpoint_is_refused(
    origin: Origin, candidate: Candidate, tmp_path: Path
) -> None:
    content = bytearray((candidate.checkpoints / "best.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "best.safetensors").write_bytes(content)
    with pytest.raises(SearchError, match="no usable weights"):
        contents(origin, replace(candidate, checkpoints=tmp_path))


@pytest.mark.slow
def test_a_study_whose_images_have_other_classes_is_refused(
    origin: Origin, candidate: Candidate
) -> None:
    fewer = replace(origin, table=replace(origin.table, classes=("a", "b")))
    with pytest.raises(SearchError, match="has 3 classes, the study's images 2"):
        contents(fewer, candidate)


def test_model_json_is_ascii_and_strict_json(exported: Path) -> None:
    text = (exported / INFO_FILE).read_bytes()
    assert text.isascii()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
