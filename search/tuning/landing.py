"""The end of a run: what was decided lands in the record, or it is said where it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from search.problems import Exit, SearchError, fail
from search.tuning.conductor import Conductor
from search.tuning.events import Listener, Note
from search.tuning.seams import Recorder

STORAGE_MAY_ANSWER = 2.0
"""Seconds that the storage gets after a stop to take what is not recorded yet."""


def land(
    conductor: Conductor,
    recorder: Recorder,
    *,
    hurried: Callable[[], bool],
    say: Listener,
    trials: str,
) -> None:
    """Put live trials back, and wait until all that was decided is committed.

    Args:
        conductor: Of the run.
        recorder: Its record.
        hurried: Whether someone wants to leave.
        say: Told what could not be recorded.
        trials: Folder of the trials' checkpoints.

    Raises:
        SearchError: If the storage failed, or does not answer someone who wants to
            leave (74).
        Exception: Whatever else the thread that records met.
    """
    conductor.end()
    deadline = None
    fault: BaseException | None = None
    while fault is None and not conductor.written(0.1):
        if hurried() and deadline is None:
            recorder.hurry()
            deadline = time.monotonic() + STORAGE_MAY_ANSWER
        if deadline is not None and time.monotonic() > deadline:
            fault = fail(
                "the storage does not answer",
                fix="check that it can be reached, then run the same command again",
                status=Exit.STORAGE,
            )
    fault = conductor.fault or fault
    if fault is None:
        return
    epochs = conductor.unrecorded
    if epochs and isinstance(fault, SearchError):
        text = (
            f"{epochs} epoch{'' if epochs == 1 else 's'} could not be recorded; they are kept "
            f"with the checkpoints in {trials}, and the same command records them"
        )
        say(Note(level="warning", text=text))
    raise fault
