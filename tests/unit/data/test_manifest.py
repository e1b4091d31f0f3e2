"""The saved table comes back exactly, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.images import PARTS, ImageRow, ImageTable
from search.data.manifest import fingerprint, load_table, save_table
from search.problems import Exit, SearchError

HOSTILE = [
    "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "\x1b[2J\x1b]0;x\x07", "a|b", "x\r\ny",
    "漢字 ü \u202e", '"quoted", with comma', " spaces ", "\u2028\x85\x0b", "",
]  # fmt: skip

names = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)


def table_of(classes: tuple[str, ...], rows: tuple[ImageRow, ...], root: str = "/d") -> ImageTable:
    return ImageTable(
        root=Path(root),
        classes=classes,
        rows=rows,
        fingerprint=fingerprint(rows, classes),
        licence="CC-BY; say so\n",
    )


@st.composite
def tables(draw: st.DrawFn) -> ImageTable:
    classes = tuple(sorted(draw(st.sets(names, min_size=1, max_size=4))))
    paths = sorted(draw(st.sets(names, max_size=6)))
    rows = tuple(
        ImageRow(
            path=path,
            label=draw(st.integers(0, len(classes) - 1)),
            part=draw(st.sampled_from(PARTS)),
            sha256=f"{draw(st.integers(0, 2**256 - 1)):064x}",
            group=draw(names),
        )
        for path in paths
    )
    return table_of(classes, rows)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(table=tables())
def test_a_saved_table_comes_back_exactly(
    table: ImageTable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "table.jsonl"
    save_table(table, path)
    assert load_table(path) == table


def row(path: str, label: int = 0, part: str = "train", sha: str = "00") -> ImageRow:
    return ImageRow(path=path, label=label, part=part, sha256=sha)  # type: ignore[arg-type]


def test_the_file_is_ascii_so_that_no_name_does_anything_to_a_reader(tmp_path: Path) -> None:
    classes = tuple(sorted(HOSTILE))
    rows = tuple(row(f"{name}.png", at) for at, name in enumerate(classes))
    save_table(table_of(classes, rows), tmp_path / "table.jsonl")
    content = (tmp_path / "table.jsonl").read_bytes()
    assert all(byte == 10 or 32 <= byte < 127 for byte in content)
    assert not any(line.startswith(("=", "+", "-", "@")) for line in content.decode().splitlines())


def test_the_fingerprint_follows_content_and_not_order_or_index() -> None:
    one = fingerprint([row("a", 0), row("b", 1, sha="11")], ["x", "y"])
    assert one == fingerprint([row("b", 0, sha="11"), row("a", 1)], ["y", "x"])
    others = [
        fingerprint([row("c", 0), row("b", 1, sha="11")], ["x", "y"]),
        fingerprint([row("a", 0, sha="22"), row("b", 1, sha="11")], ["x", "y"]),
        fingerprint([row("a", 1), row("b", 1, sha="11")], ["x", "y"]),
        fingerprint([row("a", 0, "val"), row("b", 1, sha="11")], ["x", "y"]),
    ]
    assert len({one, *others}) == 5


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: text[: len(text) // 2], id="cut"),
        pytest.param(lambda text: text.replace("a.png", "z.png"), id="another_path"),
        pytest.param(lambda text: text.replace('"train"', '"tarin"'), id="no_part"),
        pytest.param(lambda text: "\n".join([*text.splitlines()[:-1], ""]), id="row_gone"),
        pytest.param(lambda text: text.replace('"format": 1', '"format": 9'), id="format"),
        pytest.param(lambda text: "[" * 100, id="brackets"),
        pytest.param(lambda text: json.dumps("text") + "\n", id="other_json"),
    ],
)
def test_a_damaged_table_is_refused_with_its_path(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "table.jsonl"
    save_table(table_of(("x", "y"), (row("a.png"), row("b.png", 1))), path)
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(SearchError, match=r"table\.jsonl cannot be read") as caught:
        load_table(path)
    assert caught.value.status is Exit.DATA


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="cannot be read"):
        load_table(tmp_path / "none.jsonl")


def test_nothing_but_the_table_is_left_in_its_folder(tmp_path: Path) -> None:
    save_table(table_of(("x",), (row("a.png"),)), tmp_path / "new" / "table.jsonl")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.jsonl"]
