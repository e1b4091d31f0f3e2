"""The record is written behind the run: the driver decides, this commits in order.

One thread makes one call after another in the order in which they were put, so
the study is what it would be had each been waited for. While the storage is away
the calls wait here, and the trials train on; when there are too many, whoever puts
the next one waits too. After a call that failed none is made any more: what is not
committed by then is in the trials' checkpoints, and the next run reports it again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

MOST = 256
"""Calls that may wait: hours of real epochs, a few seconds of tiny ones."""

_T = TypeVar("_T")


class Behind:
    """Calls that are made in order by a thread of its own.

    Args:
        most: Calls that may wait, >= 1; :meth:`put` waits where there are more.
    """

    def __init__(self, *, most: int = MOST) -> None:
        self.fault: BaseException | None = None
        """What a call raised; all calls after it were dropped."""
        self._most = most
        self._waiting: deque[tuple[Callable[[], object], ...]] = deque()
        self._busy = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, *calls: Callable[[], object]) -> None:
        """Have ``calls`` made, one after another, after all that was put before.

        What is to be said of a write comes after it: it is said once it is committed.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._most or self._over)
            if not self._over:
                self._waiting.append(calls)
                self._changed.notify_all()

    def ask(self, call: Callable[[], _T]) -> Future[_T]:
        """What ``call`` returns, made after all that was put before; without an
        answer for ever after a fault."""
        answer: Future[_T] = Future()
        self.put(lambda: answer.set_result(call()))
        return answer

    def drained(self, seconds: float) -> bool:
        """Whether nothing is left to do; waits for it for so long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def close(self) -> None:
        """Make no call any more; the one that is being made ends by itself."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    @property
    def _over(self) -> bool:
        return self._closed or self.fault is not None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._over)
                if self._over:
                    return
                calls = self._waiting.popleft()
                self._busy = True
                self._changed.notify_all()
            try:
                for call in calls:
                    call()
            except BaseException as fault:  # of the storage, or ours: the driver raises it
                self._end(fault)
            else:
                self._end(None)

    def _end(self, fault: BaseException | None) -> None:
        with self._changed:
            self._busy = False
            self.fault = fault
            if fault is not None:
                self._waiting.clear()
            self._changed.notify_all()
