"""Which images a folder names, and what is said when it names none that we can use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from search.data.folder import list_folder
from search.data.listing import Listing
from search.data.read import find_images
from search.problems import Exit, SearchError
from search.space.spec import DataSpec

Pictures = Callable[[str, int], list[Path]]


def named(listing: Listing) -> dict[str, tuple[str, str | None]]:
    return {image.path: (image.label, image.part) for image in listing.images}


def refused(folder: Path) -> SearchError:
    with pytest.raises(SearchError) as caught:
        list_folder(folder)
    assert caught.value.status is Exit.DATA
    assert all(problem.fix for problem in caught.value.problems)
    return caught.value


def test_a_folder_per_class(folder: Path, pictures: Pictures) -> None:
    pictures("cat", 2)
    pictures("dog", 1)
    listing = list_folder(folder)
    assert named(listing) == {
        "cat/00.png": ("cat", None),
        "cat/01.png": ("cat", None),
        "dog/00.png": ("dog", None),
    }
    assert listing.classes == ("cat", "dog")
    assert listing.root == folder.resolve()
    assert listing.notes == ()


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_a_folder_per_part_with_a_folder_per_class_inside(
    folder: Path, pictures: Pictures, val: str
) -> None:
    for part in ("train", val, "test"):
        pictures(f"{part}/cat", 1)
        pictures(f"{part}/dog", 1)
    assert named(list_folder(folder)) == {
        f"{name}/{label}/00.png": (label, part)
        for name, part in (("train", "train"), (val, "val"), ("test", "test"))
        for label in ("cat", "dog")
    }


def test_sub_folders_belong_to_their_class(folder: Path, pictures: Pictures) -> None:
    pictures("cat/monday/early", 1)
    pictures("cat", 1)
    pictures("dog", 1)
    listing = named(list_folder(folder))
    assert listing["cat/monday/early/00.png"] == ("cat", None)
    assert len(listing) == 3


def test_hidden_files_and_folders_do_not_exist(folder: Path, pictures: Pictures) -> None:
    pictures("cat", 1)
    pictures(".ipynb_checkpoints", 1)
    pictures("cat/.thumbs", 1)
    (folder / "cat" / "._00.png").write_bytes(b"resource fork")
    listing = list_folder(folder)
    assert (set(named(listing)), listing.classes) == ({"cat/00.png"}, ("cat",))
    assert listing.notes == ()


def test_files_that_are_no_images_are_counted_in_a_note(folder: Path, pictures: Pictures) -> None:
    pictures("cat", 1)
    for name in ("notes.txt", "more.TXT", "boxes.json", "LICENSE"):
        (folder / "cat" / name).write_text("text")
    (folder / "README.md").write_text("beside the classes")
    listing = list_folder(folder)
    assert len(listing.images) == 1
    assert listing.notes == ("4 files passed over: not images (.txt 2, .json 1, no suffix 1)",)


def test_suffixes_in_capitals_are_images(folder: Path) -> None:
    (folder / "cat").mkdir()
    for name in ("A.JPG", "b.Jpeg", "c.tif", "d.WEBP", "e.bmp", "f.gif"):
        (folder / "cat" / name).touch()
    assert len(list_folder(folder).images) == 6


def test_an_empty_class_folder_is_still_a_class(folder: Path, pictures: Pictures) -> None:
    pictures("cat", 1)
    (folder / "dog").mkdir()
    assert list_folder(folder).classes == ("cat", "dog")


def test_images_without_class_folders_are_refused_with_the_layout(
    folder: Path, pictures: Pictures
) -> None:
    pictures(".", 2)
    error = refused(folder)
    assert "holds 2 images but no class folders" in error.problems[0].fact
    assert f"{folder}/<class>/<image>" in error.problems[0].fix


def test_loose_images_beside_class_folders_are_noted(folder: Path, pictures: Pictures) -> None:
    pictures("cat", 1)
    pictures(".", 2)
    listing = list_folder(folder)
    assert len(listing.images) == 1
    assert "2 images directly in" in listing.notes[0]


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        pytest.param([], "holds no class folders", id="empty"),
        pytest.param(["train", "test"], "train holds 1 image but no class folders", id="flat"),
        pytest.param(["val/a", "test/a"], "has no train/", id="no_train"),
        pytest.param(["train/a", "val/a", "valid/a"], "are the same part", id="val_twice"),
        pytest.param(["train/a", "extra"], "and extra/ beside it", id="train_and_a_class"),
        pytest.param(["test/a", "a", "b"], "test/ with class folders, and a/", id="test_beside"),
        pytest.param(["train/a", "test"], "test holds 1 image but no class", id="unlabelled_test"),
    ],
)
def test_a_layout_that_is_neither_is_refused(
    folder: Path, pictures: Pictures, layout: list[str], said: str
) -> None:
    for where in layout:
        pictures(where, 1)
    assert said in str(refused(folder))


def test_a_class_may_be_called_train(folder: Path, pictures: Pictures) -> None:
    for vehicle in ("train", "car", "bus"):
        pictures(vehicle, 1)
    assert named(list_folder(folder))["train/00.png"] == ("train", None)


def test_folders_beside_train_and_test_are_passed_over_and_noted(
    folder: Path, pictures: Pictures
) -> None:
    for where in ("train/a", "test/a", "unlabelled"):
        pictures(where, 1)
    listing = list_folder(folder)
    assert set(named(listing)) == {"train/a/00.png", "test/a/00.png"}
    assert any("unlabelled passed over" in note for note in listing.notes)


def test_links_that_lead_out_are_refused_and_listed(
    folder: Path, pictures: Pictures, tmp_path: Path
) -> None:
    inside = pictures("cat", 1)[0]
    outside = tmp_path / "secret"
    outside.mkdir()
    (outside / "a.png").write_bytes(inside.read_bytes())
    (folder / "cat" / "inside.png").symlink_to(inside)
    (folder / "cat" / "out.png").symlink_to(outside / "a.png")
    (folder / "cat" / "relative.png").symlink_to("../../secret/a.png")
    (folder / "cat" / "deep").symlink_to(outside)
    listing = list_folder(folder)
    assert set(named(listing)) == {"cat/00.png", "cat/inside.png"}
    reason = "is a link that leads out of the data folder"
    assert listing.refused == (
        ("cat/deep", reason),
        ("cat/out.png", reason),
        ("cat/relative.png", reason),
    )


def test_a_class_folder_that_is_a_link_out_or_to_nothing_is_named(
    folder: Path, pictures: Pictures, tmp_path: Path
) -> None:
    pictures("cat", 3)
    (tmp_path / "secret").mkdir()
    (folder / "stolen").symlink_to(tmp_path / "secret")
    (folder / "dog").symlink_to("/no/such/disk/dog")
    (folder / "same").symlink_to(folder / "cat")
    (folder / "loose.png").symlink_to("/no/such/file")
    facts = [problem.fact for problem in refused(folder).problems]
    assert facts == [
        f"{folder}/dog is a link to nothing (/no/such/disk/dog), where a class could be",
        f"class 'stolen' would be lost: its folder {folder}/stolen is a link that leads out of "
        f"the data folder, to {tmp_path}/secret",
    ]


def test_a_part_that_is_a_link_to_nothing_is_named(folder: Path, pictures: Pictures) -> None:
    pictures("train/cat", 1)
    pictures("test/cat", 1)
    (folder / "val").symlink_to("../elsewhere")
    (folder / "latest").symlink_to("nothing")
    (folder / "train" / "dog").symlink_to("nothing")
    facts = [problem.fact for problem in refused(folder).problems]
    assert len(facts) == 2
    assert f"{folder}/val is a link to nothing (../elsewhere)" in facts[0]
    assert f"{folder}/train/dog is a link to nothing (nothing)" in facts[1]


def test_links_in_a_circle_end(folder: Path, pictures: Pictures) -> None:
    pictures("cat", 1)
    (folder / "cat" / "again").symlink_to(folder / "cat")
    (folder / "cat" / "self.png").symlink_to("self.png")
    listing = list_folder(folder)
    # self.png stays within the folder as far as its name goes; opening it will fail
    assert set(named(listing)) | {path for path, _ in listing.refused} == {
        "cat/00.png",
        "cat/self.png",
    }
    assert any("a link to another folder of the data" in note for note in listing.notes)


def test_the_data_folder_itself_may_be_a_link(
    folder: Path, pictures: Pictures, tmp_path: Path
) -> None:
    pictures("cat", 1)
    (tmp_path / "link").symlink_to(folder)
    listing = list_folder(tmp_path / "link")
    assert (listing.root, len(listing.images)) == (folder.resolve(), 1)


@pytest.mark.parametrize(
    "name",
    ["=cmd|' C calc'!A0", "<script>alert(1)<script>", "a\x1b[31mred", "a|b", "ünï 漢字", "x\ny"],
)
def test_hostile_class_names_are_kept_as_they_are(
    folder: Path, pictures: Pictures, name: str
) -> None:
    pictures(name, 1)
    pictures("other", 1)
    listing = list_folder(folder)
    assert name in listing.classes
    assert {image.label for image in listing.images} == {name, "other"}


def test_names_that_are_not_utf8_are_refused(folder: Path, pictures: Pictures) -> None:
    source = pictures("cat", 1)[0]
    odd = os.fsencode(folder) + b"/cat/\xff.png"
    with open(odd, "wb") as file:
        file.write(source.read_bytes())
    assert list_folder(folder).refused == (("cat/\udcff.png", "has a name that is not UTF-8"),)
    os.mkdir(os.fsencode(folder) + b"/\xfe")
    assert "not UTF-8" in str(refused(folder))


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    assert "does not exist" in str(refused(folder / "none"))
    (folder / "a.zip").touch()
    assert "is a file, not a folder" in str(refused(folder / "a.zip"))


def test_a_relative_path_starts_at_the_base(folder: Path, pictures: Pictures) -> None:
    pictures("cat", 1)
    listing = find_images(DataSpec(path="data"), base=folder.parent, cache=folder / "unused")
    assert listing.root == folder.resolve()


def test_a_tilde_is_the_home_folder(
    folder: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures("cat", 1)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert (
        find_images(DataSpec(path="~/data"), base=Path("/nowhere"), cache=Path("/nowhere")).root
        == folder.resolve()
    )


def test_exactly_one_source_is_given() -> None:
    with pytest.raises(ValueError, match="need one of path, manifest and sample"):
        find_images(DataSpec(path="a", sample="b"), base=Path("."), cache=Path("."))
