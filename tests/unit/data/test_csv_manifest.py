"""A manifest's images, and every problem of one with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search.data.csv_manifest import list_manifest
from search.data.listing import Found, Listing
from search.data.read import find_images
from search.problems import Exit, SearchError
from search.space.spec import DataSpec

Pictures = Callable[[str, int], list[Path]]


def listed(folder: Path, text: str | bytes) -> Listing:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list_manifest(path, name="my/list.csv")


def problems(folder: Path, text: str | bytes) -> list[str]:
    """``line: fact`` of every problem."""
    with pytest.raises(SearchError) as caught:
        listed(folder, text)
    assert caught.value.status is Exit.DATA
    assert all(problem.fix for problem in caught.value.problems)
    return [
        f"{problem.place.line}: {problem.fact}" if problem.place else problem.fact
        for problem in caught.value.problems
    ]


def test_paths_labels_parts_and_groups(folder: Path) -> None:
    listing = listed(
        folder,
        "path,label,split,group\nb.png,cat,train,p1\nsub/a.png,dog,validation,p2\nc.png,cat,test,\n",
    )
    assert listing.root == folder.resolve()
    assert listing.images == (
        Found(path="b.png", label="cat", part="train", group="p1"),
        Found(path="c.png", label="cat", part="test"),
        Found(path="sub/a.png", label="dog", part="val", group="p2"),
    )


def test_columns_may_come_in_any_order_and_others_are_noted(folder: Path) -> None:
    listing = listed(folder, "Width, Label ,path\n10,cat,a.png\n")
    assert listing.images == (Found(path="a.png", label="cat"),)
    assert listing.notes == ("my/list.csv: column 'width' is not used",)


def test_a_byte_order_mark_crlf_blank_lines_and_spaces_after_commas(folder: Path) -> None:
    listing = listed(folder, b"\xef\xbb\xbfpath, label\r\n\r\na.png, cat\r\nb.png, dog\r\n")
    assert {(image.path, image.label) for image in listing.images} == {
        ("a.png", "cat"),
        ("b.png", "dog"),
    }


def test_hostile_labels_are_kept_as_they_are(folder: Path) -> None:
    listing = listed(
        folder,
        'path,label\na.png,=cmd()\nb.png,<script>\nc.png,"x\ny"\nd.png,a|b\ne.png,\x1b[2J\n'
        'f.png,"say ""hi"", ü"\n',
    )
    assert [image.label for image in listing.images] == [
        "=cmd()",
        "<script>",
        "x\ny",
        "a|b",
        "\x1b[2J",
        'say "hi", ü',
    ]


@pytest.mark.parametrize("path", ["../a.png", "sub/../../a.png", "/etc/passwd", "..", "."])
def test_a_path_that_escapes_is_refused_with_its_line(folder: Path, path: str) -> None:
    (found,) = problems(folder, f"path,label\nok.png,cat\n{path},cat\n")
    assert found.startswith(f"3: path {path!r} leads out of the manifest's folder")


def test_the_place_of_a_problem_is_shown_under_its_text(folder: Path) -> None:
    with pytest.raises(SearchError) as caught:
        listed(folder, "path,label\nok.png,cat\n../a.png,cat\n")
    assert str(caught.value).splitlines()[2:4] == ["3 | ../a.png,cat", "  | ^^^^^^^^"]
    assert str(caught.value).startswith("my/list.csv:3:1: error:")


def test_an_absolute_path_inside_and_dots_that_stay_inside_are_taken(folder: Path) -> None:
    listing = listed(folder, f"path,label\n{folder.resolve()}/a.png,cat\nsub/../b.png,cat\n")
    assert [image.path for image in listing.images] == ["a.png", "b.png"]


def test_a_link_that_leads_out_is_refused_and_listed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.png").touch()
    (folder / "a.png").symlink_to(tmp_path / "out.png")
    (folder / "dir").symlink_to(tmp_path)
    listing = listed(folder, "path,label\na.png,cat\ndir/out.png,cat\nb.png,cat\n")
    assert [path for path, _ in listing.refused] == ["a.png", "dir/out.png"]
    assert [image.path for image in listing.images] == ["b.png"]


def test_all_problems_come_in_one_go(folder: Path) -> None:
    text = (
        "path,label,split,group\n"
        "a.png,cat,train,\n"
        "a.png,dog,train,\n"  # line 3: twice
        "./a.png,dog,train,\n"  # line 4: the same once more
        "b.png,,train,\n"  # line 5: no label
        "c.png,cat,tset,\n"  # line 6: no such part
        "d.png,cat,,\n"  # line 7: part is empty
        ",cat,train,\n"  # line 8: no path
        "e.png,cat,train,g\n"
        "f.png,cat,test,g\n"  # line 10: a group in two parts
        "short.png\n"  # line 11: no label
        '"two\nlines.png",,train,\n'  # line 12 and 13
        "../x.png,cat,train,\n"  # line 14
        "a,b.png,cat,train,\n"  # line 15: a comma too many
    )
    assert problems(folder, text) == [
        "3: path 'a.png' is also in line 2",
        "4: path './a.png' is also in line 2",
        "5: label is empty",
        "6: split is 'tset'",
        "7: split is empty",
        "8: path is empty or holds a NUL character",
        "10: group 'g' is in test here and in train in line 9",
        "11: label is empty",
        "12: label is empty",
        f"14: path '../x.png' leads out of the manifest's folder {folder.resolve()}",
        "15: 5 fields, the first line names 4 columns",
    ]


def test_a_thousand_problems_are_counted_and_not_shown(folder: Path) -> None:
    with pytest.raises(SearchError) as caught:
        listed(folder, "path,label\n" + "".join(f"{n}.png,\n" for n in range(1000)))
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].fact == "and 980 more of this kind"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "my/list.csv is empty", id="empty"),
        pytest.param("\n\n", "my/list.csv is empty", id="blank"),
        pytest.param("path,label\n", "names no images", id="header_alone"),
        pytest.param("a.png,cat\n", "1: the first line names no column path", id="no_header"),
        pytest.param("path;label\na;b\n", "1: the columns are not separated", id="semicolons"),
        pytest.param("path,lable\na,b\n", "1: no such column: 'lable'", id="typo"),
        pytest.param("path,label,splits\na,b,c\n", "no such column: 'splits'", id="typo_optional"),
        pytest.param("path,label,path\na,b,c\n", "column 'path' is there twice", id="twice"),
        pytest.param('path,label\na.png,"cat\n', "2: not CSV from here on", id="open_quote"),
        pytest.param("path,label,split\na.png,cat,test\n", "no image in train", id="no_train"),
        pytest.param(b"path,label\na.png,caf\xe9\n", "line 2 is not UTF-8", id="latin1"),
        pytest.param("path\tlabel\na.png\tcat\n".encode("utf-16"), "is UTF-16", id="utf_16"),
        pytest.param("path,label\na,b\n".encode("utf-16-be"), "is UTF-16", id="utf_16_no_mark"),
        pytest.param("path,label\na\0.png,cat\n", "NUL", id="nul"),
        pytest.param("path,label\na.png," + "x" * 200_000, "field larger than", id="huge_field"),
    ],
)
def test_what_is_no_manifest_is_refused(folder: Path, text: str | bytes, said: str) -> None:
    found = problems(folder, text)
    assert any(said in problem for problem in found), found


def test_what_a_spreadsheet_saved_is_named_with_what_to_save_instead(folder: Path) -> None:
    (folder / "my list.csv").write_bytes("path\tlabel\na.png\tcat\n".encode("utf-16"))
    with pytest.raises(SearchError) as caught:
        find_images(DataSpec(manifest="my list.csv"), base=folder, cache=folder / "unused")
    assert caught.value.status is Exit.DATA
    fix = caught.value.problems[0].fix
    assert '"CSV UTF-8 (Comma delimited)"' in fix
    assert "iconv -f UTF-16 -t UTF-8 'my list.csv' | tr '\\t' , > utf8.csv" in fix


def test_a_manifest_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(SearchError, match="cannot be read: no such file"):
        find_images(DataSpec(manifest="none.csv"), base=folder, cache=folder / "unused")


def test_the_manifest_starts_at_the_base_and_its_entries_at_the_manifest(
    folder: Path, pictures: Pictures
) -> None:
    pictures("img", 2)
    (folder / "list.csv").write_text("path,label\nimg/00.png,a\nimg/01.png,b\n")
    listing = find_images(
        DataSpec(manifest="data/list.csv"), base=folder.parent, cache=folder / "unused"
    )
    assert [(listing.root / image.path).is_file() for image in listing.images] == [True, True]
