"""Making a call to the storage again while the database is away.

For calls that change nothing when they are made twice. Optuna tries again only
where it makes a trial, and SQLAlchemy's pre-ping only finds a connection that was
lost before: neither outlasts a restart of the server or another program's lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from search.study.storage import StorageAway

PATIENCE_SECONDS = 60.0
"""How long a database may be away before a call gives up."""
AWAY = "storage away"
"""How what is said of every try that failed begins."""
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0

_T = TypeVar("_T")


class Patience:
    """How long to try, and whom to tell.

    Args:
        seconds: Time limit of one call, all its tries together; 0 tries once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._hurried = threading.Event()
        self._say: Callable[[str], None] = lambda text: None

    def announce(self, say: Callable[[str], None]) -> None:
        """Tell ``say`` from now on when the storage is away, and when it is back."""
        self._say = say

    def hurry(self) -> None:
        """End the wait that is going on after one more try; none waits from now on."""
        self._hurried.set()

    def keep_trying(self, call: Callable[[], _T]) -> _T:
        """What ``call`` returns, as soon as the storage is there.

        Raises:
            StorageAway: What the last try raised, when the time is up.
        """
        began, pause, away = time.monotonic(), _FIRST_PAUSE, 0.0
        while True:
            try:
                result = call()
            except StorageAway as fault:
                away = time.monotonic() - began
                if self._hurried.is_set() or away + pause > self._seconds:
                    raise
                self._say(f"{AWAY} {away:.0f} s, trying again: {fault.problems[0].fact}")
            else:
                if away:
                    self._say(f"storage is back after {time.monotonic() - began:.0f} s")
                return result
            self._hurried.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
