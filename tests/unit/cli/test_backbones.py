"""``search backbones``: which, how large, which weights, and where these are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.backbones.catalogue import CATALOGUE
from search.backbones.timm_names import timm_names
from search.cli.backbones import backbones
from search.cli.backbones_list import document, lines, look, pick
from search.problems import SearchError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def put(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(b"weights")


def test_all_backbones_are_a_line_each_in_80_columns(
    tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    put(tmp_path, "resnet50-11ad3fa6.pth")
    found = lines(look(pick(()), tmp_path / "cache"), whole=True)
    names = [line.split()[0] for line in found[1 : found.index("")]]
    assert names == list(CATALOGUE)
    assert max(len(line) for line in found) <= 80
    golden("backbones.txt", "\n".join(found))


def test_chosen_backbones_show_their_other_weights(
    tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    put(tmp_path, "resnet50-0676ba61.pth")  # IMAGENET1K_V1
    found = lines(look(pick(["resnet5", "vit_b*"]), tmp_path / "cache"), whole=False)
    assert max(len(line) for line in found) <= 80
    golden("backbones_chosen.txt", "\n".join(found))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        pytest.param(["resnet18"], ["resnet18"], id="whole_name"),
        pytest.param(["swin_v2"], ["swin_v2_b", "swin_v2_s", "swin_v2_t"], id="beginning"),
        pytest.param(["*_lite?"], ["efficientnet_lite0", "efficientnet_lite1"], id="pattern"),
        pytest.param(["vit_b", "alex", "vit_b_16"], ["alexnet", "vit_b_16", "vit_b_32"], id="some"),
    ],
)
def test_names_are_chosen_by_beginning_or_pattern(patterns: list[str], expected: list[str]) -> None:
    assert pick(patterns) == expected


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("resnet5O", "search backbones resnet50"),
        ("llama", "search backbones lists all"),
        ("timm:zzz", "search backbones 'timm:*' lists all"),
    ],
)
def test_a_name_that_fits_none_is_answered_with_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(SearchError, match=f"no backbone is called '{name}'") as raised:
        pick(["resnet", name])
    assert raised.value.problems[0].fix == fix


def test_the_document_has_every_weights_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "resnet50-11ad3fa6.pth")
    backbones(names=["resnet50", "efficientnet_lite0", "vit_h"], json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["cache"] == str(tmp_path / "cache")
    rows = {row["name"]: row for row in said["backbones"]}
    assert list(rows) == ["efficientnet_lite0", "resnet50", "vit_h_14"]
    assert [
        (each["tag"], each["usual"], each["where"]) for each in rows["resnet50"]["weights"]
    ] == [
        ("IMAGENET1K_V2", True, "cached"),
        ("IMAGENET1K_V1", False, "download"),
    ]
    assert rows["resnet50"]["weights"][0]["path"].endswith("resnet50-11ad3fa6.pth")
    assert rows["resnet50"]["parameters"] == 25_557_032
    assert rows["efficientnet_lite0"]["weights"][0]["where"] == "packaged"
    # of its patches of 14 px, 2 are 28 px, less than the 32 that any backbone needs
    assert rows["vit_h_14"]["image_size"] == {
        "default": 518,
        "minimum": 42,
        "multiple": 14,
        "maximum": None,
    }


def test_a_package_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "timm" else find(name)
    )
    for name in ("efficientnet_lite0", "timm:resnet18.a1_in1k"):
        rows = look([name], tmp_path)
        assert document(rows, cache=tmp_path)["backbones"][0]["weights"][0]["where"] == "missing"
        text = " ".join("\n".join(lines(rows, whole=False)).split())
        assert f"{name}: timm is not installed" in text


@pytest.mark.slow
def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom search.cli.backbones import backbones\nbackbones()\n"
        "heavy = {'torch', 'torchvision', 'timm', 'ray', 'numpy', 'optuna'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_timms_are_listed_where_they_are_asked_for(tmp_path: Path) -> None:
    found = lines(look(pick(("timm:swin_tiny_patch4_window7_224",)), tmp_path), whole=False)
    text = "\n".join(found)
    assert "timm:swin_tiny_patch4_window7_224.ms_in1k" in text
    assert found[1].split()[2:6] == ["M", "224", "only", "ms_in1k"]
    assert "only: no other" in text
    with pytest.raises(SearchError, match="timm:swin_tinny"):
        pick(("timm:swin_tinny",))


def test_every_licence_has_a_mark_of_its_own(tmp_path: Path) -> None:
    by_licence = {CATALOGUE[name].licence: name for name in timm_names()}
    assert len(by_licence) > 7
    found = lines(look(list(by_licence.values()), tmp_path), whole=False)
    (common,) = (line.removeprefix("licence: ") for line in found if line.startswith("licence: "))
    rows = {line.split()[0]: line for line in found[1 : found.index("")]}
    for licence, name in by_licence.items():
        mark = re.search(r"\[\d+\]", rows[name])
        if licence == common:
            assert mark is None
        else:
            assert mark is not None
            assert f"{mark[0]} {licence}" in " ".join(found)
