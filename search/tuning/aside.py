"""Ray's start and end in a thread of their own, so that signals stay ours.

Ray's C++ puts a handler of its own for SIGTERM that aborts the process, and the
default when it ends; an exception in the middle of its start leaves processes
behind. So this thread only waits, and keeps putting the handlers back.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

import psutil

T = TypeVar("T")

_OURS = (signal.SIGINT, signal.SIGTERM)
_LOOK = 0.05
"""Seconds between two looks; so long Ray's handlers may be in place."""
_PATIENCE = 2.0
"""Seconds that Ray gets to stop in good order after a signal."""
_LINGER = 1.0
"""Seconds that Ray's processes, and theirs, may take to end after it was stopped."""


@contextmanager
def aside(cluster: AbstractContextManager[T]) -> Iterator[T]:
    """Enter and leave ``cluster`` in another thread, which lives as long as it
    does (the kernel ends Ray's processes with the thread that started them).

    A signal while it is entered takes effect at once, and what Ray has started
    by then is killed when this process ends. One while it is left, or before,
    takes effect after a few seconds at most. Of a Ray that was started here no
    process is left.
    """
    earlier = set(psutil.Process().children())
    other = _Thread(cluster)
    _wait(other.entered, after=other.start, patience=None)
    if other.error is not None:
        raise other.error
    started: set[psutil.Process] = set()
    try:
        started = set(psutil.Process().children()) - earlier
        yield other.values[0]
    finally:
        left = [*started, *(below for each in started for below in _below(each))]
        cut = _status(sys.exc_info()[1])
        if _wait(other.left, after=other.leave.set, patience=_PATIENCE, cut=cut):
            _, alive = psutil.wait_procs(left, timeout=_LINGER)
            _kill(alive)
    if other.error is not None:
        raise other.error


class _Thread(threading.Thread, Generic[T]):
    """The thread that Ray is started and stopped in."""

    def __init__(self, cluster: AbstractContextManager[T]) -> None:
        super().__init__(name="ray", daemon=True)
        self._cluster = cluster
        self.values: list[T] = []
        self.error: BaseException | None = None
        self.entered, self.leave, self.left = (threading.Event() for _ in range(3))

    def run(self) -> None:
        try:
            with self._cluster as value:
                self.values.append(value)
                self.entered.set()
                self.leave.wait()
        except BaseException as error:
            self.error = error
        finally:
            self.left.set()
            self.entered.set()


def _status(error: BaseException | None) -> int | None:
    """The exit status of a process that a signal ends."""
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return int(error.code or 0) if isinstance(error, SystemExit) else None


def _wait(
    done: threading.Event,
    *,
    after: Callable[[], None],
    patience: float | None,
    cut: int | None = None,
) -> bool:
    """Let the other thread begin and wait for it, with our handlers in place.

    Args:
        done: What it sets.
        after: Lets it begin; a signal from here on finds our handlers.
        patience: Seconds to wait after a signal, and then leave it alone until
            this process ends; None leaves it at once, whatever it has done.
        cut: The exit status, where a signal came before.

    Returns:
        Whether it was done; False where it was left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        after()
        return done.wait()  # signals are the main thread's
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in _OURS}
    until = math.inf if cut is None else time.monotonic() + (patience or 0.0)
    try:
        _collect(received)
        after()
        while not done.is_set() and time.monotonic() < until:
            _collect(received)
            done.wait(_LOOK)
            if received:
                until = min(until, time.monotonic() + (patience or 0.0))
        if not done.is_set() or (received and patience is None):
            atexit.register(_end, cut if cut is not None else 128 + received[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
    return done.is_set()


def _collect(received: list[int]) -> None:
    """Handlers that only note the signal; put back again where Ray replaced them."""
    for number in _OURS:
        signal.signal(number, lambda number, _frame: received.append(number))


def _end(status: int) -> None:
    """End this process and all that it started, in the middle of Ray's start or
    end: no trial runs then, and what is known is in the record."""
    sys.stdout.flush()
    sys.stderr.flush()
    _kill(_below(psutil.Process()))
    os._exit(status)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
