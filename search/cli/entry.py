"""How a command ends: exit statuses, problems on stderr, quiet pipes.

The one place where a SearchError becomes text and a status. A failure of our
own code is not caught here: its traceback is shown and the status is 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from typer import Exit
from typer.core import TyperGroup

from search.disk import MAKE_ROOM, disk_full
from search.problems import Exit as Status
from search.problems import Problem, SearchError, render

PIPE_CLOSED = 141
"""The status of a program whose reader went away (128 + SIGPIPE)."""


class Commands(TyperGroup):
    """The command group whose failures are told in one way."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the command line; ``--help`` writes here."""
        with _told():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named and translate how it ended."""
        with _told():
            result = super().invoke(ctx)
            sys.stdout.flush()  # what cannot be written is known here, not at the very end
            return result


@contextmanager
def _told() -> Iterator[None]:
    """Whatever a person can mend, in words and with its status."""
    try:
        yield
    except SearchError as error:
        show_problems(error.problems)
        raise Exit(int(error.status)) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise Exit(int(Status.INTERRUPTED)) from None
    except BrokenPipeError:
        mute_stdout()
        raise Exit(PIPE_CLOSED) from None
    except OSError as error:
        full = disk_full(error, error.filename or _output())
        if full is None:
            raise
        mute_stdout()
        with suppress(OSError):  # stderr may go to the same disk
            show_problems([Problem(fact=str(full), fix=MAKE_ROOM)])
        raise Exit(int(Status.STORAGE)) from None


def show_problems(problems: Sequence[Problem]) -> None:
    """Print every problem to stderr, an empty line between two, then a count of
    those that are errors of their own."""
    print("\n\n".join(render(problem) for problem in problems), file=sys.stderr)
    errors = sum(problem.level == "error" and not problem.sums_up for problem in problems)
    if errors > 1:
        print(f"\n{errors} errors", file=sys.stderr)


def _output() -> str | None:
    """The file that stdout goes to. An error without a name is of it: whatever else
    is written names its file."""
    try:
        return os.readlink(f"/proc/self/fd/{sys.stdout.fileno()}")
    except (OSError, ValueError):  # another system, or a stdout that is no file
        return None


def mute_stdout() -> None:
    """Let nothing more reach a stdout whose reader or whose disk's room is gone, so
    that the interpreter's last flush does not complain."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stdout.fileno())
    os.close(quiet)
