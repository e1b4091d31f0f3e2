"""What a run looks like now, and the live table drawn from it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

from rich.console import Console

from search.cli.board import Board
from search.cli.live_table import live_table, table
from search.study.records import Outcome, State
from search.tuning.events import (
    EpochDone,
    Event,
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
        console.print(table(board, elapsed=301.0, now=310.0, height=height))
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


def test_the_table_fits_80_columns(golden: Callable[[str, str], None]) -> None:
    text = drawn(board_after(*BUSY))
    assert max(map(len, text.splitlines())) <= 80
    golden("live_table.txt", text)


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


def test_the_live_face_takes_every_event() -> None:
    with live_table(SETUP, now=lambda: 0.0) as listen:
        for event in (*EVENTS, *BUSY):
            listen(event)
