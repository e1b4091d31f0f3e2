"""What a run looks like now, kept from its events. Pure: the time is handed in.

The live table draws a :class:`Board`; nothing here knows a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from search.space.settings import Value
from search.space.spec import StudySpec
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSetup:
    """What does not change during a run."""

    study: str
    objective: str
    maximize: bool
    max_epochs: int
    trials: int | None
    """Of the budget; None is without a limit."""
    minutes: float | None = None
    """Wall time of the budget, over all runs; None is without a limit."""
    varying: tuple[str, ...]
    """Names of the params that are not fixed, main ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What goes on while no trial runs."""

    verb: str
    """``preparing`` or ``measuring``; empty while the driver waits for a trial."""
    what: str
    text: str
    """With its counts, where there are some."""
    still: str
    """The same for a time in which nothing was told: no counts that are full."""
    since: float
    """Seconds on the listener's clock at which ``what`` began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial that runs now."""

    number: int
    point: Mapping[str, Value]
    since: float
    """Seconds on the listener's clock."""
    epoch: int = 0
    value: float | None = None
    best_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A trial that settled in this run."""

    number: int
    point: Mapping[str, Value]
    state: State
    best_value: float | None
    best_epoch: int | None
    epochs: int


@dataclass(slots=True, kw_only=True)
class Board:
    """The state of a run as its events told it."""

    setup: LiveSetup
    doing: Doing | None = None
    running: dict[int, Running] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)
    progress: Progress | None = None
    progress_at: float = 0.0

    def apply(self, event: Event, now: float) -> None:
        """Take in one event at ``now`` seconds."""
        self.doing = doing_after(self.doing, event, now)
        match event:
            case Preparing() | Measuring() | Idle() | Note():
                pass
            case TrialStarted():
                self.running[event.number] = Running(
                    number=event.number, point=event.point, since=now, epoch=event.from_epoch
                )
            case TrialWaits(number=number):
                self.running.pop(number, None)
            case EpochDone():
                self._epoch(event, now)
            case TrialSettled():
                self._settle(event)
            case Progress():
                self.progress, self.progress_at = event, now

    def leaders(self, count: int) -> list[Settled]:
        """The best settled trials of this run, complete ones first."""
        ranked = [
            trial
            for trial in self.settled
            if trial.best_value is not None and trial.state is not State.FAILED
        ]
        sign = -1.0 if self.setup.maximize else 1.0
        ranked.sort(
            key=lambda trial: (
                trial.state is not State.COMPLETE,
                sign * (trial.best_value or 0.0),
                trial.number,
            )
        )
        return ranked[:count]

    def _epoch(self, event: EpochDone, now: float) -> None:
        row = self.running.get(event.number) or Running(number=event.number, point={}, since=now)
        best = row.best_value
        if math.isfinite(event.value) and (
            best is None or (event.value > best if self.setup.maximize else event.value < best)
        ):
            best = event.value
        self.running[event.number] = replace(
            row, epoch=event.epoch, value=event.value, best_value=best
        )

    def _settle(self, event: TrialSettled) -> None:
        row = self.running.pop(event.number, None)
        self.settled.append(
            Settled(
                number=event.number,
                point=row.point if row else {},
                state=event.outcome.state,
                best_value=event.best_value,
                best_epoch=event.best_epoch,
                epochs=event.epochs,
            )
        )


def doing_after(before: Doing | None, event: Event, now: float) -> Doing | None:
    """What goes on after an event, while no trial runs; None while one does."""
    match event:
        case Preparing() | Measuring():
            begun = before is not None and before.what == event.what
            text = preparing_text(event)
            return Doing(
                verb="preparing" if isinstance(event, Preparing) else "measuring",
                what=event.what,
                text=text,
                still=event.what if event.done >= event.total else text,
                since=before.since if begun and before is not None else now,
            )
        case Idle(text=text):
            return Doing(verb="", what=text, text=text, still=text, since=now)
        case Progress(running=0) if before is not None and before.verb == "preparing":
            text = "starting workers"
            return Doing(verb="", what=text, text=text, still=text, since=now)
        case Note() | Progress() | TrialSettled() | TrialWaits():
            return before
    return None


def left_text(
    progress: Progress, setup: LiveSetup, *, passed: float, form: Callable[[float], str]
) -> str:
    """How much longer it may take; before that can be estimated, what the
    budget leaves. Empty where neither is known, and where nothing is left.

    Args:
        progress: The last that was told.
        setup: Whose budget it is.
        passed: Seconds since then.
        form: How a time is written.
    """
    if progress.seconds_left is not None:
        left = progress.seconds_left - passed
        # The test set is still to be measured, or the estimate was wrong.
        return f"about {form(left)} left" if left >= 1 else ""
    if setup.minutes is None:
        return ""
    return f"{form(max(0.0, setup.minutes * 60 - progress.seconds - passed))} of the budget left"


def preparing_text(event: Preparing | Measuring) -> str:
    """``decoding images 120/600``, or without counts where none are known."""
    return f"{event.what} {event.done}/{event.total}" if event.total else event.what


def setup_of(spec: StudySpec) -> LiveSetup:
    """The setup of a live face for a resolved study."""
    from search.cli.figures import main_first
    from search.space.domains import Fixed

    return LiveSetup(
        study=spec.name,
        objective=spec.objective,
        maximize=spec.direction == "maximize",
        max_epochs=spec.epochs.max,
        trials=spec.budget.trials,
        minutes=spec.budget.minutes,
        varying=main_first(
            param.name
            for param in spec.space.params
            if len(param.branches) > 1
            or param.branches[0].when
            or not isinstance(param.branches[0].domain, Fixed)
        ),
    )
