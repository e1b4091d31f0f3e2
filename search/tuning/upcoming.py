"""The next trial, asked for behind the run: Ray is not held up by a slow storage.

It is asked for after everything that was reported before, by the thread that
records it, so the sampler knows what it would know had each report been waited for.
"""

from __future__ import annotations

from concurrent.futures import Future

from search.study.behind import Behind
from search.study.records import Asked
from search.tuning.seams import Recorder

FIRST_SECONDS = 2.0
"""How long Ray waits for a trial that it asks for; with the storage away it asks again."""
_AGAIN_SECONDS = 0.02
"""The same when it asks again."""


class Upcoming:
    """At most one trial that was asked for, and that Ray has not got yet."""

    def __init__(self, recorder: Recorder, behind: Behind) -> None:
        self._recorder = recorder
        self._behind = behind
        self._answer: Future[Asked | None] | None = None

    def ready(self) -> bool:
        """Whether :meth:`take` has an answer; asks for one where none was asked for."""
        patience = _AGAIN_SECONDS
        if self._answer is None:
            self._answer, patience = self._behind.ask(self._recorder.ask), FIRST_SECONDS
        try:
            self._answer.result(patience)
        except TimeoutError:
            return False
        return True

    def take(self) -> Asked | None:
        """The trial; None when every point of the space was tried."""
        if self._answer is None:
            raise RuntimeError("take() before ready()")
        asked = self._answer.result(0)
        self._answer = None
        return asked

    def give_back(self) -> None:
        """Let a trial wait that was asked for in vain."""
        if self._answer is not None:
            self._behind.put(lambda: self._interrupt(self.take()))

    def _interrupt(self, asked: Asked | None) -> None:
        if asked is not None:
            self._recorder.interrupt(asked.number)
