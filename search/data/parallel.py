"""A function over many files, in parallel processes that a bad file may kill.

The children import only what the function's module imports (PIL and numpy),
ignore Ctrl-C (the parent decides) and end with their parent, however it dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TypeAlias, TypeVar

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, how many there are; 0 when unknown)."""

QUIET = "ignore:resource_tracker:UserWarning"
"""For ``python -W``, where :func:`each` may be called in a process that is killed: it leaves
semaphores to multiprocessing's tracker, which removes them and would say so on the terminal
of a user who typed Ctrl-C."""

T = TypeVar("T")
R = TypeVar("R")

_FEW = 64
"""So few files are done sooner than a process has started."""
_CHUNK = 16
"""Files a process takes at a time: small, so that progress is seen and Ctrl-C is heard."""


def cores() -> int:
    """CPU cores that this process may use, >= 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    crashed: Callable[[T], R],
    workers: int | None = None,
) -> Iterator[tuple[int, R]]:
    """Yield (index, ``function(item)``) of every item once, in any order.

    Args:
        function: Importable by name; what it raises ends the iteration.
        items: Picklable.
        crashed: Gives the result of an item whose processing killed its process.
        workers: Processes; None is one for each core, and none at all for a
            few items or where no child process may be started.
    """
    count = cores() if workers is None else workers
    few = not items or (workers is None and (len(items) < _FEW or count == 1))
    if few or multiprocessing.current_process().daemon:
        for index, item in enumerate(items):
            yield index, function(item)
        return
    step = max(1, min(_CHUNK, len(items) // (4 * count)))
    starts = range(0, len(items), step)
    left = set(starts)
    try:
        with _pool(min(count, len(starts))) as pool:
            futures = {
                pool.submit(_run, function, items[start : start + step]): start for start in starts
            }
            try:
                for future in as_completed(futures):
                    start = futures.pop(future)
                    results = future.result()
                    left.discard(start)
                    yield from enumerate(results, start)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    except BrokenProcessPool:
        pass
    if left:
        alone = [index for start in sorted(left) for index in range(start, start + step)]
        yield from _one_by_one(function, items, [i for i in alone if i < len(items)], crashed)


def _one_by_one(
    function: Callable[[T], R],
    items: Sequence[T],
    indices: Sequence[int],
    crashed: Callable[[T], R],
) -> Iterator[tuple[int, R]]:
    """What was left when a process died: one item at a time, to learn which one kills."""
    todo = list(indices)
    while todo:
        with _pool(1) as pool:
            try:
                pool.submit(os.getpid).result()
            except BrokenProcessPool:  # no child can start here (__main__ cannot be imported)
                yield from ((index, function(items[index])) for index in todo)
                return
            try:
                while todo:
                    future: Future[list[R]] = pool.submit(_run, function, [items[todo[0]]])
                    result = future.result()[0]
                    yield todo.pop(0), result
            except BrokenProcessPool:
                index = todo.pop(0)
                yield index, crashed(items[index])


def _pool(workers: int) -> ProcessPoolExecutor:
    # "spawn": a fork of a process that has threads (Ray, torch) may hang
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start)


def _start() -> None:
    """Runs first in every child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A child whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]
