"""What a run looks like now, and the live table drawn from it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from search.cli.board import Board
from search.cli.live_table import above, live_table, table
from search.study.records import Outcome, State
from search.tuning.events import (
    EpochDone,
    Event,
    Measuring,
    Note,
    Preparing,
    Progress,
    TrialSettled,
    TrialStarted,
)
from tests.unit.cli.test_lines import EVENTS, POINT, SETUP


def settled(number: int, state: State, value: float | None) -> TrialSettled:
    return TrialSettled(
        number=number,
        outcome=Outcome(state=state, why=""),
        best_value=value,
        best_epoch=None if value is None else 2,
        epochs=3,
        seconds=4.0,
    )


def board_after(*events: Event) -> Board:
    board = Board(setup=SETUP)
    for second, event in enumerate(events):
        board.apply(event, float(second))
    return board


def drawn(board: Board, *, width: int = 80, height: int = 24) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(table(board, elapsed=301.0, now=310.0, width=width, height=height))
    return "\n".join(text.rstrip() for text in captured.get().splitlines())


BUSY = (
    TrialStarted(number=5, point=POINT),
    TrialStarted(number=6, point={**POINT, "backbone": "efficientnet_v2_s", "lr": 0.0301}),
    EpochDone(number=5, epoch=1, value=0.61, keeps=True, why=""),
    EpochDone(number=5, epoch=2, value=0.58, keeps=True, why=""),
    settled(3, State.COMPLETE, 0.8424),
    settled(12, State.PRUNED, 0.9),
    settled(4, State.FAILED, None),
    Progress(settled=3, running=2, budget_trials=64, seconds=301.0, seconds_left=905.0),
)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_its_terminal(width: int, golden: Callable[[str, str], None]) -> None:
    text = drawn(board_after(*BUSY), width=width)
    assert max(map(len, text.splitlines())) <= width
    golden(f"live_table_{width}.txt", text)


@pytest.mark.parametrize("width", range(40, 130, 7))
def test_no_number_of_the_table_is_cut_or_wrapped(width: int) -> None:
    lines = drawn(board_after(*BUSY), width=width).splitlines()
    assert max(map(len, lines)) <= width
    row = next(text for text in lines if text.startswith("trial 6"))
    words = set(row.split())
    assert "0/27" in words
    assert ("0.0301" in words) != ("+1" in words or "+2" in words or "+3" in words)


def test_a_long_name_gives_way_to_the_time_that_is_left() -> None:
    board = board_after(*BUSY)
    board.setup = replace(
        SETUP, study="a-name-that-goes-on-for-as-long-as-names-may-go-on-for-ever"
    )
    heading = drawn(board).splitlines()[0]
    assert len(heading) == 80
    assert heading.startswith("a-name-that")
    assert heading.endswith("…  3/64 settled  2 running  5:01  about 10:02 left")


def test_before_trials_have_settled_the_budget_that_is_left_counts_down() -> None:
    board = Board(setup=replace(SETUP, minutes=10))
    begun = Progress(settled=0, running=0, budget_trials=64, seconds=60.0, seconds_left=None)
    board.apply(begun, 300.0)
    # 10 min, less 60 s of earlier runs, less the 10 s since: 530 s
    assert "5:01  8:50 of the budget left" in drawn(board)


def test_what_is_measured_has_a_clock_of_its_own_and_no_time_left() -> None:
    text = drawn(board_after(*BUSY[4:], Measuring(what="linear probe", done=48, total=48)))
    # begun at 4 s, drawn at 310 s
    assert "linear probe 48/48  5:06" in text
    assert "left" not in text


def test_a_complete_trial_leads_a_pruned_one_with_a_higher_value() -> None:
    leaders = board_after(*BUSY).leaders(3)
    assert [trial.number for trial in leaders] == [3, 12]


def test_the_best_of_a_running_trial_is_not_its_last_and_never_nan() -> None:
    board = board_after(*BUSY[:4], EpochDone(number=5, epoch=3, value=math.nan, keeps=True, why=""))
    assert board.running[5].best_value == 0.61
    assert math.isnan(board.running[5].value or 0.0)


def test_more_running_trials_than_lines_are_counted() -> None:
    board = board_after(*(TrialStarted(number=n, point=POINT) for n in range(100)))
    text = drawn(board, height=24)
    assert len(text.splitlines()) < 24
    # 24 lines leave 14 for trials
    assert "and 86 more" in text


def test_preparation_is_shown_until_a_trial_starts() -> None:
    preparing = Preparing(what="decoding images", done=12, total=600)
    assert "decoding images 12/600" in drawn(board_after(preparing))
    assert "decoding" not in drawn(board_after(preparing, BUSY[0]))


def test_what_scrolls_up_goes_on_below_its_text() -> None:
    text = "left out, for their weights are not here: resnet18, resnet50; goes on with vit_b_16"
    lines = above(Note(text=text), SETUP, seconds=62.0, width=60)
    assert [line for line in lines if len(line) > 60] == []
    assert lines[0].startswith(" 1:02  note: left out")
    assert lines[1].startswith(" " * 9)
    assert " ".join(" ".join(lines).split()) == f"1:02 note: {text}"


def test_the_live_face_takes_every_event() -> None:
    with live_table(SETUP, now=lambda: 0.0) as listen:
        for event in (*EVENTS, *BUSY):
            listen(event)
