"""What a problem looks like, whatever the user's file holds."""

from __future__ import annotations

import pickle

import pytest

from search.problems import Exit, Place, Problem, SearchError, did_you_mean, fail, render


def at(text: str, column: int, length: int = 1) -> Problem:
    return Problem(
        fact="a fact",
        fix="a fix",
        place=Place(file="f.yaml", line=7, column=column, length=length, text=text),
    )


def test_a_problem_shows_place_text_mark_and_fix() -> None:
    assert render(at("lr: 20", 5, 2)).splitlines() == [
        "f.yaml:7:5: error: a fact",
        "  |",
        "7 | lr: 20",
        "  |     ^^",
        "  = fix: a fix",
    ]


def test_a_problem_without_a_place_is_two_lines() -> None:
    assert render(Problem(fact="no", fix="yes")) == "error: no\n  fix: yes"


def test_a_warning_says_so() -> None:
    assert render(Problem(fact="no", level="warning")) == "warning: no"


@pytest.mark.parametrize(
    ("text", "column", "mark"),
    [
        pytest.param("\tlr: 1", 2, "  | \t^", id="tab_before"),
        pytest.param("日本: 1", 5, "  |       ^", id="wide_characters_take_two_columns"),
        pytest.param("e\u0301: 1", 5, "  |    ^", id="combining_mark_takes_none"),
    ],
)
def test_the_mark_stands_under_the_text(text: str, column: int, mark: str) -> None:
    assert render(at(text, column)).splitlines()[3] == mark


def test_of_a_long_line_the_marked_part_is_shown() -> None:
    shown = render(at("a" * 5_000 + "WRONG" + "b" * 5_000, 5_001, 5)).splitlines()
    assert len(shown[2]) < 200
    start = shown[3].index("^")
    assert shown[2][start : start + 5] == "WRONG"
    assert shown[3].count("^") == 5


def test_nothing_in_a_file_can_move_the_cursor() -> None:
    hostile = "\x1b[2J\u202e\r\x00"
    text = render(
        Problem(
            fact=hostile,
            fix=hostile,
            place=Place(file=hostile, line=1, column=1, length=3, text=hostile),
        )
    )
    assert not set(text) & set("\x1b\u202e\r\x00")


def test_an_error_carries_all_problems_and_its_exit_status() -> None:
    error = SearchError([Problem(fact="one"), Problem(fact="two")], Exit.DATA)
    assert (str(error), error.status) == ("error: one\nerror: two", 3)


def test_an_error_survives_the_trip_from_a_child_process() -> None:
    error = fail("one", fix="two", status=Exit.STORAGE)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.problems, copy.status) == (error.problems, error.status)


def test_an_error_needs_a_problem() -> None:
    with pytest.raises(ValueError, match="at least one problem"):
        SearchError([])


@pytest.mark.parametrize(
    ("word", "near"),
    [
        pytest.param("resnet5O", "resnet50", id="typo"),
        pytest.param("resnet", "resnet18", id="the_first_of_equals"),
        pytest.param("ResNet-50", "resnet50", id="case_and_hyphens"),
        pytest.param("vit_base", "vit_b_16", id="the_parts_of_a_name"),
        pytest.param("restart", "", id="only_the_start_alike"),
        pytest.param("zebra", "", id="nothing_like_it"),
        pytest.param("r" * 100_000, "", id="too_long_to_compare"),
    ],
)
def test_the_nearest_word_is_meant(word: str, near: str) -> None:
    assert did_you_mean(word, ["resnet18", "resnet50", "vit_b_16"]) == near


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        pytest.param("learning_rate", ("layer_decay", "lr"), "lr", id="another_tools_word"),
        pytest.param("learning_rate", ("alpha", "beta"), "", id="that_is_not_known_here"),
        pytest.param("gpus", ("cpus_per_trial", "gpus_per_trial"), "gpus_per_trial", id="start"),
        pytest.param("f1", ("accuracy", "macro_f1"), "macro_f1", id="a_part"),
        pytest.param("lgo", ("step", "log"), "log", id="swapped_letters"),
    ],
)
def test_what_other_tools_call_it_is_understood(
    word: str, known: tuple[str, ...], near: str
) -> None:
    assert did_you_mean(word, known) == near
