"""The end of a search in a child process, from the parent's side.

:func:`finish_apart` starts ``search.cli.finish`` as a fork of the process that has
imported torch for the workers, where there is one: the run neither imports torch a
second time nor ends with what ends the measuring.
"""

from __future__ import annotations

import pickle
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TypeAlias, cast

import psutil

from search.data.parallel import QUIET, Progress
from search.problems import fail

if TYPE_CHECKING:
    from search.export.asking import FinishJob
    from search.export.results import FinalResults

_TIDIES_UP = 2.0
"""Seconds that the child gets to remove what it was about to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The child is there; a fork is not known to this process otherwise."""

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """As ``search.data.parallel.Progress``."""

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The test set is about to be opened: answered with one byte once that is counted."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The last message of a child that has no results."""

    error: Exception


Message: TypeAlias = "Began | Progressed | Opening | Failed | FinalResults"


def finish_apart(
    job: FinishJob,
    *,
    python: str | None,
    progress: Progress,
    opening: Callable[[str], None],
) -> FinalResults:
    """:func:`search.export.finish.finish`, in a child process.

    Args:
        job: As there.
        python: A command line to be run in place of Python (``forkserver``); None is
            the Python of this process.
        progress: As there.
        opening: As there; it has returned before the test set is opened.

    Raises:
        SearchError: As there, or if the child was ended by something else.
    """
    command = [sys.executable, "-P", "-W", QUIET] if python is None else shlex.split(python)
    child = subprocess.Popen(
        [*command, "-m", "search.cli.finish"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,  # Ctrl-C in a terminal is for the run, which ends it
    )
    assert child.stdin is not None
    assert child.stdout is not None
    measuring: psutil.Process | None = None
    done = False
    try:
        with suppress(BrokenPipeError):
            pickle.dump(job, child.stdin)
            child.stdin.flush()
        while not done:
            message = _next(child.stdout)
            if isinstance(message, Began):
                with suppress(psutil.NoSuchProcess):
                    measuring = psutil.Process(message.pid)
            elif isinstance(message, Progressed):
                progress(message.what, message.done, message.total)
            elif isinstance(message, Opening):
                opening(message.what)
                with suppress(BrokenPipeError):
                    child.stdin.write(b".")
                    child.stdin.flush()
            elif isinstance(message, Failed):
                raise message.error
            else:
                done = True
        return cast("FinalResults", message)
    finally:
        with suppress(BrokenPipeError):
            child.stdin.close()
        if not done:
            _end(child, measuring)
        child.stdout.close()
        child.wait()


def _next(stream: IO[bytes]) -> Message:
    try:
        return cast("Message", pickle.load(stream))
    except (EOFError, pickle.UnpicklingError) as error:
        raise fail(
            "the process that measures was ended from outside, or there was no memory for it",
            fix="the same command measures again",
        ) from error


def _end(child: subprocess.Popen[bytes], measuring: psutil.Process | None) -> None:
    """Have the child end (and what was asked to fork it), at once where it does not tidy
    up soon."""
    left = [] if measuring is None else [measuring]
    with suppress(psutil.NoSuchProcess):
        left.append(psutil.Process(child.pid))
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=_TIDIES_UP)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
