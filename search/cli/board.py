"""What a run looks like now, kept from its events. Pure: the time is handed in.

The live table draws a :class:`Board`; nothing here knows a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    varying: tuple[str, ...]
    """Names of the params that are not fixed, main ones first."""


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
    doing: str = ""
    """Preparing or waiting, said while no trial runs."""
    running: dict[int, Running] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)
    progress: Progress | None = None
    progress_at: float = 0.0

    def apply(self, event: Event, now: float) -> None:
        """Take in one event at ``now`` seconds."""
        match event:
            case Preparing() | Measuring():
                self.doing = preparing_text(event)
                if isinstance(event, Measuring):
                    self.progress = None
            case Idle(text=text):
                self.doing = text
            case Note():
                pass
            case TrialStarted():
                self.doing = ""
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
        self.doing = ""
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
        varying=main_first(
            param.name
            for param in spec.space.params
            if len(param.branches) > 1
            or param.branches[0].when
            or not isinstance(param.branches[0].domain, Fixed)
        ),
    )
