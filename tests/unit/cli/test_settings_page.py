"""docs/settings.md is what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.settings_page import WRITE, page, setting_range
from search.space.acting import words
from search.space.settings import Setting
from search.training.config import SETTINGS

ROOT = Path(__file__).parents[3]


def test_the_committed_page_is_the_generated_one() -> None:
    committed = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert committed == page(), f"docs/settings.md is behind the code; run: {WRITE}"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_a_row_with_its_meaning_default_and_range(name: str) -> None:
    (line,) = [line for line in page().splitlines() if line.startswith(f"| `{name}` |")]
    row = SETTINGS[name]
    assert row.meaning, "a setting says what it is"
    assert row.meaning.replace("|", "\\|") in line
    assert setting_range(row) in line
    assert words(row, SETTINGS) in line
    assert not row.source or f"- `{name}`: {row.source}" in page()


@pytest.mark.parametrize(
    "key", ["`split.val`", "`max_gb`", "`reduction_factor`", "### `extends`", "### `first`"]
)
def test_keys_of_the_other_sections_are_there(key: str) -> None:
    assert key in page()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(
            Setting(name="n", kind="int", default=1, low=0, high=5),
            "whole numbers 0 to 5",
            id="whole",
        ),
        pytest.param(
            Setting(name="x", kind="float", default=0.1, low=1e-8, high=10.0),
            "1e-08 to 10",
            id="number",
        ),
        pytest.param(Setting(name="x", kind="float", default=0.1, low=0.0), "from 0", id="open"),
        pytest.param(
            Setting(name="c", kind="choice", default="a", choices=("a", "b")),
            "`a`, `b`",
            id="choice",
        ),
    ],
)
def test_a_range_is_said_in_words(row: Setting, expected: str) -> None:
    assert setting_range(row) == expected
