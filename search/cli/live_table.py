"""The live face of a run on a terminal: what runs now, the best so far, time left.

Settled trials, notes and warnings scroll up above the table and stay. Drawn by
rich at a steady pace, from a :class:`Board` under one lock; 80 columns suffice,
and where settings need more, columns of less worth go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from search.cli.board import Board, Doing, LiveSetup, Settled, left_text
from search.cli.figures import clock
from search.cli.fitting import Column, fitted
from search.cli.lines import line
from search.cli.wrapping import wrapped
from search.problems import printable
from search.space.figure import metric
from search.study.records import State
from search.tuning.events import Event, Listener, Note, TrialSettled, TrialWaits

PER_SECOND = 4
LEADERS = 3
"""Best settled trials shown under the running ones."""

STYLES = {State.COMPLETE: "", State.PRUNED: "dim", State.FAILED: "red"}


@contextmanager
def live_table(setup: LiveSetup, *, now: Callable[[], float]) -> Iterator[Listener]:
    """A listener that keeps a table up to date until the block ends."""
    console = Console(highlight=False)
    board = Board(setup=setup)
    lock = threading.RLock()
    start = now()

    def draw() -> RenderableType:
        with lock:
            return table(
                board,
                elapsed=now() - start,
                now=now(),
                width=console.width,
                height=console.height,
            )

    live = Live(
        console=console,
        get_renderable=draw,
        refresh_per_second=PER_SECOND,
        transient=True,
        vertical_overflow="crop",
    )

    def listen(event: Event) -> None:
        with lock:
            board.apply(event, now())
        if isinstance(event, TrialSettled | TrialWaits | Note):
            style = (
                STYLES.get(event.outcome.state, "")
                if isinstance(event, TrialSettled)
                else ("yellow" if isinstance(event, Note) and event.level == "warning" else "")
            )
            lines = above(event, setup, seconds=now() - start, width=console.width)
            live.console.print(Text("\n".join(lines), style=style))

    with live:
        yield listen


def above(event: Event, setup: LiveSetup, *, seconds: float, width: int) -> list[str]:
    """What scrolls up of an event: its time, and its text, which goes on below itself."""
    time = f"{clock(seconds):>5}  "
    return wrapped(line(event, setup), width=width, first=time, rest=" " * (len(time) + 2))


def table(board: Board, *, elapsed: float, now: float, width: int, height: int) -> RenderableType:
    """The board as something to draw.

    Args:
        board: The run so far.
        elapsed: Seconds since this run began.
        now: Seconds on the clock of the board's events.
        width: Cells of a line of the terminal; no row of the table is longer.
        height: Lines of the terminal; the table stays below it.
    """
    parts: list[RenderableType] = [_heading(board, elapsed=elapsed, now=now, width=width)]
    room = max(1, height - LEADERS - 7)
    if board.running:
        parts += _running(board, now=now, width=width, room=room)
    elif board.doing is not None:
        parts.append(_doing(board.doing, now))
    leaders = board.leaders(LEADERS)
    if leaders:
        parts += _leaders(leaders, board.setup, width=width)
    parts.append(Text("Ctrl-C stops cleanly; the same command goes on", style="dim"))
    return Group(*parts)


def _heading(board: Board, *, elapsed: float, now: float, width: int) -> Text:
    """The study's name gives way; the counts and the time do not."""
    setup, progress = board.setup, board.progress
    settled = progress.settled if progress else len(board.settled)
    total = f"/{setup.trials}" if setup.trials is not None else ""
    counts = f"  {settled}{total} settled  {len(board.running)} running  {clock(elapsed)}"
    measuring = board.doing is not None and board.doing.verb == "measuring"
    if progress and not measuring:
        left = left_text(progress, setup, passed=now - board.progress_at, form=clock)
        counts += f"  {left}" if left else ""
    name, room = printable(setup.study), max(8, width - len(counts))
    text = Text(name if len(name) <= room else f"{name[: room - 1]}…", style="bold")
    return text.append(counts, style="not bold")


def _doing(doing: Doing, now: float) -> Text:
    """What goes on, and how long it has: that moves even where nothing is told."""
    so_far = f"  {clock(now - doing.since)}" if doing.verb else ""
    return Text(f"{printable(doing.text)}{so_far}")


def _running(board: Board, *, now: float, width: int, room: int) -> list[RenderableType]:
    trials = [board.running[number] for number in sorted(board.running)]
    shown, more = trials[:room], len(trials) - room
    setup = board.setup
    columns = [
        Column(head="running", cells=tuple(f"trial {each.number}" for each in shown)),
        Column(head="time", cells=tuple(clock(now - each.since) for each in shown), worth=0),
        Column(
            head="epoch",
            cells=tuple(f"{each.epoch}/{setup.max_epochs}" for each in shown),
            right=True,
        ),
        Column(
            head=setup.objective,
            short="value",
            cells=tuple(metric(each.value, setup.objective) for each in shown),
            right=True,
        ),
        Column(
            head="best",
            cells=tuple(metric(each.best_value, setup.objective) for each in shown),
            right=True,
            worth=1,
        ),
    ]
    lines = fitted(columns, [each.point for each in shown], setup.varying, width=width)
    drawn = [_row(lines[0], "dim"), *(_row(text, "") for text in lines[1:])]
    return [*drawn, *([_row(f"and {more} more", "")] if more > 0 else [])]


def _leaders(leaders: Sequence[Settled], setup: LiveSetup, *, width: int) -> list[RenderableType]:
    columns = [
        Column(
            head="best of this run",
            short="best",
            cells=tuple(f"trial {each.number}" for each in leaders),
        ),
        Column(head="state", cells=tuple(each.state.value for each in leaders)),
        Column(
            head="best at",
            short="at",
            cells=tuple(f"{each.best_epoch}" for each in leaders),
            right=True,
            worth=0,
        ),
        Column(
            head=setup.objective,
            short="value",
            cells=tuple(metric(each.best_value, setup.objective) for each in leaders),
            right=True,
        ),
    ]
    lines = fitted(columns, [each.point for each in leaders], setup.varying, width=width)
    styles = ["dim", *(STYLES[each.state] for each in leaders)]
    return [_row(text, style) for text, style in zip(lines, styles, strict=True)]


def _row(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
