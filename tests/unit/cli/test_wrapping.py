"""Rows that go on below themselves."""

from __future__ import annotations

import pytest

from search.cli.wrapping import flat, hanging, next_lines, wrapped

ROWS = [["default", "resnet50  lr 0.001  seed 3"], ["2", "vit_b_16  lr 0.01"]]


def test_without_a_width_every_row_is_one_line() -> None:
    assert flat(hanging(ROWS, width=None)) == [
        "default  resnet50  lr 0.001  seed 3",
        "2        vit_b_16  lr 0.01",
    ]


def test_a_last_column_goes_on_below_itself_and_a_setting_stays_whole() -> None:
    assert hanging(ROWS, width=33, gap=2) == [
        ["default  resnet50  lr 0.001", "         seed 3"],
        ["2        vit_b_16  lr 0.01"],
    ]


def test_a_last_column_without_room_beside_the_others_goes_under_its_row() -> None:
    rows = [["a long first column", "and what it does"], ["b", "c"]]
    assert hanging(rows, width=24) == [
        ["a long first column", "    and what it does"],
        ["b                    c"],
    ]


@pytest.mark.parametrize("width", [1, 8])
def test_a_word_that_is_longer_than_a_line_is_never_broken(width: int) -> None:
    assert wrapped("see /a/long/path now", width=width, rest="  ")[1] == "  /a/long/path"


def test_a_command_that_does_not_fit_beside_its_comment_stands_below_it() -> None:
    assert next_lines([["search status x", "all trials"]], width=20) == [
        "next",
        "  # all trials",
        "  search status x",
    ]
