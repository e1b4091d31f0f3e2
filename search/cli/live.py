"""A run as it happens: a live table on a terminal, a line per event elsewhere.

With ``--json`` the lines go to stderr, so that stdout holds one document.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from search.cli.board import LiveSetup, setup_of
from search.cli.lines import Lines
from search.tuning.events import Listener

__all__ = ["LiveSetup", "follow", "setup_of"]


@contextmanager
def follow(
    setup: LiveSetup, *, json: bool, now: Callable[[], float] = time.monotonic
) -> Iterator[Listener]:
    """A listener for the time of a run; any thread may call it.

    Args:
        setup: What does not change during the run.
        json: Lines to stderr, whatever it is.
        now: Seconds that only grow.

    Example::

        with follow(setup_of(spec), json=options.json) as listen:
            drive(study, listen)
    """
    if not json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from search.cli.live_table import live_table

        with live_table(setup, now=now) as listen:
            yield listen
    else:
        yield Lines(setup, out=sys.stderr if json else sys.stdout, now=now)
