"""Data that cannot be used, found before anything is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from search.cli.data_check import LONGEST, check_data, data_place, why_refused
from search.problems import Exit, SearchError
from search.space.spec import DataSpec


def _nothing(place: Path) -> None:
    pass


def _file(place: Path) -> None:
    place.write_text("path,label\n", encoding="utf-8")


def _empty_file(place: Path) -> None:
    place.touch()


def _empty_folder(place: Path) -> None:
    place.mkdir()


def _loose_images(place: Path) -> None:
    (place / ".hidden").mkdir(parents=True)
    (place / "a.jpg").touch()


def _classes(place: Path) -> None:
    (place / "red").mkdir(parents=True)


@pytest.mark.parametrize(
    ("kind", "made", "fact"),
    [
        pytest.param("path", _nothing, "does not exist", id="no_folder"),
        pytest.param("path", _file, "is a file, not a folder", id="a_file_for_a_folder"),
        pytest.param("path", _empty_folder, "holds no class folders", id="empty_folder"),
        pytest.param("path", _loose_images, "holds no class folders", id="loose_images"),
        pytest.param("manifest", _nothing, "does not exist", id="no_manifest"),
        pytest.param("manifest", _classes, "is a folder, not a file", id="a_folder_for_a_file"),
        pytest.param("manifest", _empty_file, "is empty", id="empty_manifest"),
    ],
)
def test_is_refused_with_its_path_and_a_fix(
    kind: str, made: Callable[[Path], None], fact: str, tmp_path: Path
) -> None:
    place = tmp_path / "flowers"
    made(place)
    with pytest.raises(SearchError) as caught:
        check_data(spec(kind, str(place)))
    assert caught.value.status is Exit.DATA
    assert caught.value.problems[0].fact == f"data.{kind}: {place} {fact}"
    assert caught.value.problems[0].fix


@pytest.mark.parametrize("kind", ["path", "manifest"])
def test_a_name_that_is_too_long_for_a_file_does_not_exist(kind: str) -> None:
    with pytest.raises(SearchError, match="does not exist"):
        check_data(spec(kind, "n" * 5000))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize(("kind", "made"), [("path", _classes), ("manifest", _file)])
def test_what_may_not_be_read_is_said(
    kind: str, made: Callable[[Path], None], tmp_path: Path
) -> None:
    place = tmp_path / "flowers"
    made(place)
    place.chmod(0)
    with pytest.raises(SearchError, match="cannot be read: permission denied"):
        check_data(spec(kind, str(place)))


def test_what_can_be_used_is_passed(tmp_path: Path) -> None:
    _classes(tmp_path / "flowers")
    _file(tmp_path / "flowers.csv")
    check_data(DataSpec(path=str(tmp_path / "flowers")))
    check_data(DataSpec(manifest=str(tmp_path / "flowers.csv")))
    check_data(DataSpec(sample="solar-cells"))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param(["cat", "", "dog"], "label is empty", id="a_line"),
        pytest.param(["cat|dog", "cat", "dog"] * 3, "are several classes", id="the_task"),
        pytest.param(["cat"] * 9, "the single class 'cat'", id="one_class"),
    ],
)
def test_a_manifest_is_read_before_anything_is_started(
    tmp_path: Path, labels: list[str], said: str
) -> None:
    file = tmp_path / "list.csv"
    lines = [f"{number}.png,{label}" for number, label in enumerate(labels)]
    file.write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    refused = why_refused(DataSpec(manifest=str(file)))
    assert refused is not None
    assert refused.status is Exit.DATA
    assert said in refused.problems[0].fact
    file.write_text(file.read_text() + "\n" * LONGEST)
    assert why_refused(DataSpec(manifest=str(file))) is None  # left to the run


def test_a_place_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_place(DataSpec(path="flowers")) == str(tmp_path / "flowers")
    assert data_place(DataSpec(sample="solar-cells")) == "solar-cells"


def spec(kind: str, given: str) -> DataSpec:
    return DataSpec(path=given) if kind == "path" else DataSpec(manifest=given)
