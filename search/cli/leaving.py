"""Ctrl-C and SIGTERM outside the trials: leave through every ``finally``."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SOON = 0.01
"""Seconds until a signal comes again whose exception Python had to drop."""


class Left(SystemExit):
    """A signal ends this process.

    No KeyboardInterrupt: one that passes through C code that runs Python, as
    importing torch does, makes the interpreter kill itself at its end (status -2).

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def leave_on(*numbers: int) -> None:
    """Raise :class:`Left` in the main thread at each of these signals.

    Python drops what a handler raises while a finaliser or the callback of a weak
    reference runs, and the process would go on as if nobody had asked: there the
    signal is sent once more.
    """
    for number in numbers:
        signal.signal(number, _leave)
    sys.unraisablehook = _once_more


def _leave(number: int, frame: FrameType | None) -> None:
    raise Left(number)


def _once_more(dropped: UnraisableHookArgs) -> None:
    """Send a dropped signal again, to the thread that may be waiting in a system call."""
    if not isinstance(dropped.exc_value, Left):
        sys.__unraisablehook__(dropped)
        return
    main = threading.main_thread().ident
    again = threading.Timer(_SOON, signal.pthread_kill, (main, dropped.exc_value.number))
    again.daemon = True
    again.start()
