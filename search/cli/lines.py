"""A line per event: the face of a run without a terminal, and in a log.

Promises: nothing shown here stops the run; a reader of our output that goes
away mutes us. Silence does not last: :meth:`Lines.beat` repeats what is still
prepared or measured (of trials, the driver tells the same).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TextIO

from search.cli.board import Doing, LiveSetup, doing_after, left_text, preparing_text
from search.cli.figures import clock, duration, settings
from search.problems import printable
from search.space.figure import metric
from search.study.records import State
from search.tuning.events import (
    EpochDone,
    Event,
    Idle,
    Measuring,
    Note,
    Preparing,
    Progress,
    TrialSettled,
    TrialStarted,
    TrialWaits,
)

PREPARING_EVERY = 5.0
"""Seconds between two lines of one preparation."""
SILENCE = 15.0
"""Seconds without a line after which what still goes on is said."""


class Lines:
    """The face without a terminal: one line per event, flushed at once."""

    def __init__(
        self,
        setup: LiveSetup,
        *,
        out: TextIO,
        now: Callable[[], float],
        silence: float = SILENCE,
    ) -> None:
        self._setup = setup
        self._out = out
        self._now = now
        self._silence = silence
        self._start = self._printed = now()
        self._doing: Doing | None = None
        self._lock = threading.Lock()
        self._prepared: dict[str, float] = {}
        self._muted = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            moment = self._now()
            self._doing = doing_after(self._doing, event, moment)
            if isinstance(event, Preparing | Measuring) and not self._due(event, moment):
                return
            text = line(event, self._setup)
            if text:
                self._print(text, moment)

    def beat(self) -> float:
        """Say what still goes on, where nothing was printed for too long.

        Returns:
            Seconds after which to call again.
        """
        with self._lock:
            moment = self._now()
            left = self._silence - (moment - self._printed)
            if left > 0:
                return left
            if self._doing is not None and self._doing.verb:
                so_far = duration(moment - self._doing.since)
                still = printable(self._doing.still)
                self._print(f"still {self._doing.verb}: {still} ({so_far})", moment)
            return self._silence

    def _due(self, event: Preparing | Measuring, moment: float) -> bool:
        last = self._prepared.get(event.what)
        complete = event.total > 0 and event.done >= event.total
        if last is None or complete or moment - last >= PREPARING_EVERY:
            self._prepared[event.what] = moment
            return True
        return False

    def _print(self, text: str, moment: float) -> None:
        self._printed = moment
        if self._muted:
            return
        try:
            print(f"{clock(moment - self._start):>5}  {text}", file=self._out, flush=True)
        except (BrokenPipeError, ValueError):
            self._muted = True
        except OSError:
            # A terminal that was closed (EIO) or a full disk behind a redirect:
            # the study is safe in its database, and goes on.
            self._muted = True


def line(event: Event, setup: LiveSetup) -> str:
    """The text of one event without its time; empty when it is not shown.

    Example: ``trial 12  epoch  3  balanced_accuracy 0.713  stop   rung 1: 0.713 < 0.742``.
    """
    digits = len(str(max(setup.trials or 100, 10) - 1))
    match event:
        case Preparing():
            return f"preparing  {printable(preparing_text(event))}"
        case Measuring():
            return f"measuring  {printable(preparing_text(event))}"
        case Note(text=text, level=level):
            return f"{'warning' if level == 'warning' else 'note'}: {printable(text)}"
        case Idle(text=text):
            return printable(text)
        case TrialStarted():
            begun = f" after epoch {event.from_epoch}" if event.from_epoch else ""
            shown = settings(event.point, setup.varying)
            return f"trial {event.number:>{digits}}  starts{begun}  {printable(shown)}".rstrip()
        case EpochDone():
            return (
                f"trial {event.number:>{digits}}  "
                f"epoch {event.epoch:>{len(str(setup.max_epochs))}}  "
                f"{setup.objective} {metric(event.value, setup.objective)}  "
                f"{'keep' if event.keeps else 'stop'}   {printable(event.why)}"
            ).rstrip()
        case TrialWaits(number=number, epochs=epochs):
            return f"trial {number:>{digits}}  waits     after epoch {epochs}; a later run goes on"
        case TrialSettled():
            return f"trial {event.number:>{digits}}  {_settled(event, setup.objective)}"
        case Progress():
            return _progress(event, setup)


def _settled(event: TrialSettled, objective: str) -> str:
    outcome = event.outcome
    state = f"{outcome.state.value:<8}"
    if outcome.state is State.FAILED:
        reason = f"{outcome.reason.value}: " if outcome.reason else ""
        return f"{state}  {reason}{printable(outcome.why)}  {duration(event.seconds)}"
    best = (
        f"best {metric(event.best_value, objective)} at epoch {event.best_epoch}"
        if event.best_value is not None
        else "no value"
    )
    return f"{state}  {best}  {duration(event.seconds)}"


def _progress(event: Progress, setup: LiveSetup) -> str:
    budget = f" of {event.budget_trials}" if event.budget_trials is not None else ""
    left = left_text(event, setup, passed=0.0, form=duration)
    return (
        f"{event.settled}{budget} settled, {event.running} running, "
        f"{duration(event.seconds)} used{f', {left}' if left else ''}"
    )
