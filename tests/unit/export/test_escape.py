from __future__ import annotations

import csv
import html as html_library
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.export import escape

HOSTILE = [
    "=cmd|'/c calc'!A1",
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "a|b",
    "[link](javascript:alert(1))",
    "![](https://example.org/x.png)",
    "www.example.org",
    "`code`",
    "**bold** __bold__",
    "line\nbreak\r\n# heading",
    "\u202eright to left",
    "@everyone",
    "&lt;",
    "\\",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_plain_text_in_markdown(text: str) -> None:
    shown = escape.markdown(text)
    assert not set(shown) & set("|<>[]`*!\n\r\x1b\u202e\\@=")
    assert "www." not in shown
    assert "://" not in shown
    assert html_library.unescape(shown) == escape.visible(text)


@pytest.mark.slow
@given(st.text())
def test_markdown_is_one_line_that_reads_as_the_visible_text(text: str) -> None:
    shown = escape.markdown(text)
    assert len(shown.splitlines()) <= 1
    assert html_library.unescape(shown) == escape.visible(text)


@given(st.text())
def test_html_has_no_tag_and_no_quote_in_it(text: str) -> None:
    shown = escape.html(text)
    assert not set(shown) & set("<>\"'")
    assert html_library.unescape(shown) == escape.visible(text)


@given(st.text())
def test_a_csv_cell_never_begins_like_a_formula(text: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([escape.csv(text)])
    (row,) = csv.reader(io.StringIO(buffer.getvalue()))
    assert row[0].lstrip()[:1] not in {"=", "+", "-", "@", "|", "%"}


def test_ordinary_names_stay_readable() -> None:
    names = ["defective", "class 12", "semi-hard", "snake_case", "Zürich", "猫", "1.5, small (old)"]
    assert [escape.markdown(name) for name in names] == names
    assert [escape.csv(name) for name in names] == names
