"""A line per event."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from search.cli.board import LiveSetup
from search.cli.lines import Lines, line
from search.cli.live import follow
from search.study.records import FailReason, Outcome, State
from search.tuning.events import (
    EpochDone,
    Event,
    Idle,
    Measuring,
    Note,
    Preparing,
    Progress,
    TrialSettled,
    TrialStarted,
)

SETUP = LiveSetup(
    study="solar-cells",
    objective="balanced_accuracy",
    maximize=True,
    max_epochs=27,
    trials=64,
    varying=("backbone", "unfreeze_depth", "lr"),
)
POINT = {"backbone": "resnet50", "unfreeze_depth": 2, "lr": 0.00212, "batch_size": 32}

EVENTS: tuple[Event, ...] = (
    Preparing(what="starting Ray"),
    Preparing(what="checking images", done=600, total=600),
    Note(text="resnet50 left out", level="warning"),
    Note(text="licence CC-BY-NC-SA-4.0"),
    Idle(text="waiting for GPUs: asked 1, the cluster has 0"),
    TrialStarted(number=12, point=POINT),
    TrialStarted(number=3, point=POINT, from_epoch=4),
    EpochDone(
        number=12,
        epoch=3,
        value=0.7131,
        keeps=False,
        why="rung 1: 0.713 < 0.742, the cutoff of 20 earlier trials",
    ),
    EpochDone(number=3, epoch=10, value=0.8424, keeps=True, why=""),
    TrialSettled(
        number=12,
        outcome=Outcome(state=State.PRUNED, why="rung 1"),
        best_value=0.7131,
        best_epoch=3,
        epochs=3,
        seconds=18.2,
    ),
    TrialSettled(
        number=3,
        outcome=Outcome(state=State.COMPLETE, why=""),
        best_value=0.8424,
        best_epoch=10,
        epochs=27,
        seconds=272.0,
    ),
    TrialSettled(
        number=4,
        outcome=Outcome(state=State.FAILED, why="loss is \x1b[31mnan", reason=FailReason.DIVERGED),
        best_value=None,
        best_epoch=None,
        epochs=1,
        seconds=2.0,
    ),
    Progress(settled=3, running=2, budget_trials=64, seconds=301.0, seconds_left=905.0),
    Progress(settled=1, running=2, budget_trials=None, seconds=31.0, seconds_left=None),
)


def ticking(step: float) -> Callable[[], float]:
    """A clock that moves on by ``step`` seconds at each look."""

    def times() -> Iterator[float]:
        now = 100.0
        while True:
            yield now
            now += step

    moments = times()
    return lambda: next(moments)


def test_every_event_has_its_line(golden: Callable[[str, str], None]) -> None:
    out = io.StringIO()
    lines = Lines(SETUP, out=out, now=ticking(7.0))
    for event in EVENTS:
        lines(event)
    golden("lines.txt", out.getvalue().rstrip("\n"))


def test_the_decision_and_its_reason_are_in_the_epoch_line() -> None:
    assert line(EVENTS[7], SETUP) == (
        "trial 12  epoch  3  balanced_accuracy 0.713  stop   "
        "rung 1: 0.713 < 0.742, the cutoff of 20 earlier trials"
    )


def test_progress_of_one_preparation_is_not_repeated_within_five_seconds() -> None:
    out = io.StringIO()
    lines = Lines(SETUP, out=out, now=ticking(1.0))
    for done in range(1, 13):
        lines(Preparing(what="decoding", done=done, total=12))
    # First at once, then every 5 s, and the last: 1, 6, 11, 12.
    assert [text.split()[-1] for text in out.getvalue().splitlines()] == [
        "1/12",
        "6/12",
        "11/12",
        "12/12",
    ]


def texts_of(out: io.StringIO) -> list[str]:
    return [text.split(maxsplit=1)[1] for text in out.getvalue().splitlines()]


def test_after_a_silence_what_still_goes_on_is_said_with_its_time() -> None:
    out, clock = io.StringIO(), [0.0]
    lines = Lines(SETUP, out=out, now=lambda: clock[0], silence=15.0)
    lines(Measuring(what="linear probe", done=40, total=48))
    lines(Measuring(what="linear probe", done=48, total=48))
    clock[0] = 14.0
    assert lines.beat() == 1.0  # not yet
    clock[0] = 15.0
    assert lines.beat() == 15.0
    clock[0] = 32.0
    lines.beat()
    assert texts_of(out)[2:] == [
        "still measuring: linear probe (15 s)",
        "still measuring: linear probe (32 s)",
    ]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(EVENTS[4], id="waiting"),
        pytest.param(EVENTS[5], id="a_trial_runs"),
        pytest.param(
            Progress(settled=0, running=0, budget_trials=4, seconds=0.0, seconds_left=None),
            id="the_driver_begins",
        ),
    ],
)
def test_while_the_driver_tells_what_goes_on_nothing_is_repeated(event: Event) -> None:
    out = io.StringIO()
    lines = Lines(SETUP, out=out, now=ticking(7.0))
    lines(Preparing(what="starting Ray"))
    lines(event)
    for _ in range(9):
        lines.beat()
    assert "still" not in out.getvalue()


@pytest.mark.parametrize("json", [pytest.param(False, id="plain"), pytest.param(True, id="json")])
def test_a_run_without_a_terminal_is_never_silent_for_long(
    json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ""
    with follow(SETUP, json=json, silence=0.02) as listen:
        listen(Preparing(what="checking images", done=3, total=600))
        deadline = time.monotonic() + 10
        while said.count("still preparing: checking images 3/600 (0 s)") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            printed = capsys.readouterr()
            said += printed.err if json else printed.out
            assert (printed.out if json else printed.err) == ""
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().out == ""  # and its end is the end


def test_what_the_budget_leaves_is_said_until_an_estimate_is_there() -> None:
    setup = replace(SETUP, minutes=5)
    assert line(EVENTS[-1], setup) == (
        "1 settled, 2 running, 31 s used, 4 min 29 s of the budget left"
    )
    assert line(EVENTS[-2], setup).endswith("used, about 15 min 05 s left")
    last = Progress(settled=9, running=0, budget_trials=9, seconds=40.0, seconds_left=0.0)
    assert line(last, setup) == "9 of 9 settled, 0 running, 40 s used"  # but for the measuring


def test_a_reader_that_went_away_does_not_end_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    lines = Lines(SETUP, out=Gone(), now=ticking(1.0))
    for event in EVENTS:
        lines(event)
