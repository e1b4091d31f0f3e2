"""A run as it happens: a live table on a terminal, a line per event elsewhere.

With ``--json`` the lines go to stderr, so that stdout holds one document.
Neither is ever silent for long: the table's clock moves, and a thread of its own
has the lines say what still goes on, whatever keeps the others busy.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from search.cli.board import LiveSetup, setup_of
from search.cli.lines import SILENCE, Lines
from search.tuning.events import Listener

__all__ = ["LiveSetup", "follow", "setup_of"]


@contextmanager
def follow(
    setup: LiveSetup,
    *,
    json: bool,
    now: Callable[[], float] = time.monotonic,
    silence: float = SILENCE,
) -> Iterator[Listener]:
    """A listener for the time of a run; any thread may call it.

    Args:
        setup: What does not change during the run.
        json: Lines to stderr, whatever it is.
        now: Seconds that only grow.
        silence: Seconds without a line after which what goes on is repeated.

    Example::

        with follow(setup_of(spec), json=options.json) as listen:
            drive(study, listen)
    """
    if not json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from search.cli.live_table import live_table

        with live_table(setup, now=now) as listen:
            yield listen
    else:
        lines = Lines(setup, out=sys.stderr if json else sys.stdout, now=now, silence=silence)
        with _repeated(lines.beat):
            yield lines


@contextmanager
def _repeated(beat: Callable[[], float]) -> Iterator[None]:
    """Call ``beat`` in a thread, each time after the seconds that it returned."""
    over = threading.Event()

    def keep_on() -> None:
        while not over.wait(beat()):
            pass

    thread = threading.Thread(target=keep_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)  # no longer: its reader may have stopped reading
