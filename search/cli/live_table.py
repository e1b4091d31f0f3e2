"""The live face of a run on a terminal: what runs now, the best so far, time left.

Settled trials, notes and warnings scroll up above the table and stay. Drawn by
rich at a steady pace, from a :class:`Board` under one lock; 80 columns suffice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search.cli.board import Board, LiveSetup
from search.cli.figures import clock, metric, settings
from search.cli.lines import line
from search.problems import printable
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
            return table(board, elapsed=now() - start, now=now(), height=console.height)

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
            text = Text(f"{clock(now() - start):>5}  {line(event, setup)}", style=style)
            live.console.print(text)

    with live:
        yield listen


def table(board: Board, *, elapsed: float, now: float, height: int) -> RenderableType:
    """The board as something to draw.

    Args:
        board: The run so far.
        elapsed: Seconds since this run began.
        now: Seconds on the clock of the board's events.
        height: Lines of the terminal; the table stays below it.
    """
    parts: list[RenderableType] = [_heading(board, elapsed=elapsed, now=now)]
    room = max(1, height - LEADERS - 7)
    if board.running:
        parts.append(_running(board, now=now, room=room))
    elif board.doing:
        parts.append(_one_line(board.doing))
    leaders = board.leaders(LEADERS)
    if leaders:
        rows = _columns("best of this run", "state", "best at", board.setup.objective)
        for trial in leaders:
            rows.add_row(
                f"trial {trial.number}",
                trial.state.value,
                f"{trial.best_epoch}",
                metric(trial.best_value),
                _one_line(settings(trial.point, board.setup.varying)),
                style=STYLES[trial.state],
            )
        parts.append(rows)
    parts.append(Text("Ctrl-C stops cleanly; the same command goes on", style="dim"))
    return Group(*parts)


def _heading(board: Board, *, elapsed: float, now: float) -> Text:
    setup, progress = board.setup, board.progress
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(setup.study, style="bold")
    settled = progress.settled if progress else len(board.settled)
    total = f"/{setup.trials}" if setup.trials is not None else ""
    text.append(f"  {settled}{total} settled  {len(board.running)} running  {clock(elapsed)}")
    if progress and progress.seconds_left is not None:
        left = max(0.0, progress.seconds_left - (now - board.progress_at))
        text.append(f"  about {clock(left)} left")
    return text


def _running(board: Board, *, now: float, room: int) -> Table:
    setup = board.setup
    rows = _columns("running", "time", "epoch", setup.objective, "best")
    trials = [board.running[number] for number in sorted(board.running)]
    for trial in trials[:room]:
        rows.add_row(
            f"trial {trial.number}",
            clock(now - trial.since),
            f"{trial.epoch}/{setup.max_epochs}",
            metric(trial.value),
            metric(trial.best_value),
            _one_line(settings(trial.point, setup.varying)),
        )
    if len(trials) > room:
        rows.add_row(f"and {len(trials) - room} more", "", "", "", "", "")
    return rows


def _columns(*names: str) -> Table:
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    for index, name in enumerate(names):
        rows.add_column(name, no_wrap=True, justify="left" if index < 2 else "right")
    rows.add_column("settings")  # the only column that gives way, so not no_wrap itself
    return rows


def _one_line(text: str) -> Text:
    return Text(printable(text), no_wrap=True, overflow="ellipsis")
