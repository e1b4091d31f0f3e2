"""The winner exported, measured and compared, in a process of its own.

Run as ``python -m search.cli.finish``: a pickled job on stdin, then one pickled
message after another on stdout. The other side is ``finishing.py``.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from search.backbones.without_compiler import put_off_compiler
from search.cli.finishing import Began, Failed, Message, Opening, Progressed
from search.cli.leaving import leave_on

if TYPE_CHECKING:
    from search.export.asking import FinishJob
    from search.export.results import FinalResults


class _Alone(SystemExit):
    """The run is gone, and nobody is left to be told."""

    def __init__(self) -> None:
        super().__init__(1)


def main() -> None:
    """The child process."""
    put_off_compiler()
    leave_on(signal.SIGTERM)  # through every `finally`: no half-written folder stays
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    try:
        _say(out, Began(pid=os.getpid()))
        job = _job()
        last: FinalResults | Failed
        try:
            last = _finished(job, out)
        except Exception as error:
            last = _failed(error)
        _say(out, last)
    finally:
        with suppress(BrokenPipeError):
            out.close()


def _job() -> FinishJob:
    try:
        job: FinishJob = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):  # Ctrl-C while it was sent
        raise _Alone from None
    return job


def _finished(job: FinishJob, out: IO[bytes]) -> FinalResults:
    import torch

    from search.data.parallel import cores
    from search.export.finish import finish

    def opening(what: str) -> None:
        _say(out, Opening(what=what))
        if not sys.stdin.buffer.read(1):
            raise _Alone

    torch.set_num_threads(cores())  # the trials are over
    return finish(
        job,
        progress=lambda what, done, total: _say(out, Progressed(what=what, done=done, total=total)),
        opening=opening,
    )


def _failed(error: Exception) -> Failed:
    """The error as the other side raises it, with where it came from."""
    where = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return Failed(error=RuntimeError(where))
    error.add_note(where)
    return Failed(error=error)


def _say(out: IO[bytes], message: Message) -> None:
    try:
        pickle.dump(message, out)
        out.flush()
    except BrokenPipeError:
        raise _Alone from None


if __name__ == "__main__":
    main()
