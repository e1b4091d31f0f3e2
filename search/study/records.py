"""The record of a study as plain values: what is asked, reported and settled.

No optuna here, so that ``tuning``, ``export`` and ``cli`` speak in these alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from search.space.settings import Value

STOPPED = "stopped"
"""Attribute of a trial's last report: why the scheduler stops it there."""

NOTES = "notes"
"""Attribute of a trial's last report: what its worker had to say, a sentence each."""
STOPPED_EARLY = "stopped_early"
"""Attribute of a trial's last report: why its own patience ends it there, complete."""

EXHAUSTED = "exhausted"
"""Attribute of a study: every point of its finite space has been asked for."""


class State(StrEnum):
    """The state of a trial. Settled: complete, pruned, failed."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def settled(self) -> bool:
        return self in (State.COMPLETE, State.PRUNED, State.FAILED)


class FailReason(StrEnum):
    """Why a trial failed; the list is closed."""

    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    LOST_NODE = "lost_node"
    BAD_DATA = "bad_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A trial to run now."""

    number: int
    point: Mapping[str, Value]
    """Active params, fixed ones included."""
    curve: Mapping[int, float] = field(default_factory=dict)
    """Objective by epoch reported in earlier runs; empty for a new trial."""
    stopped: str = ""
    """Why the scheduler stopped it at its last epoch; it was cut before its end."""
    stopped_early: str = ""
    """Why its own patience ended it there; it was cut before its end, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a trial ended."""

    state: State
    """COMPLETE, PRUNED or FAILED."""
    why: str
    """One line: the scheduler's reason, or the error's first line."""
    reason: FailReason | None = None
    """Set exactly when FAILED."""
    detail: str = ""
    """The whole traceback or log tail of a failure; may be long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """One trial, read from the storage."""

    number: int
    state: State
    params: Mapping[str, Value]
    """Active params, fixed ones included."""
    curve: Mapping[int, float]
    """Objective by epoch, 1-based."""
    best_value: float | None
    """Objective at the best epoch so far."""
    best_epoch: int | None
    why: str
    reason: FailReason | None
    started: datetime | None
    ended: datetime | None
    attributes: Mapping[str, Any]
    """seconds, epochs, parameters_trained, parameters_total, peak_memory_mb,
    host, detail, micro_batch where it is not the batch, stopped_early where its own
    patience ended it, notes where its worker had something to say, and the last report's
    metrics under ``metrics``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """One study, read from the storage."""

    name: str
    objective: str
    direction: str
    trials: tuple[TrialView, ...]
    attributes: Mapping[str, Any]
    """space (the resolved document), fingerprint, counts, classes, versions,
    seed, seconds (wall time over all runs), results (test figures)."""

    def counts(self) -> dict[State, int]:
        """Trials by state; every state is present."""
        return {state: sum(trial.state is state for trial in self.trials) for state in State}

    def ranked(self) -> tuple[TrialView, ...]:
        """Settled trials that have a value, best first: all COMPLETE ones, then
        the PRUNED ones. Ties: the lower number first."""
        sign = -1.0 if self.direction == "maximize" else 1.0

        def key(trial: TrialView) -> tuple[bool, float, int]:
            assert trial.best_value is not None
            return (
                trial.state is not State.COMPLETE,
                sign * trial.best_value,
                trial.number,
            )

        return tuple(
            sorted(
                (
                    trial
                    for trial in self.trials
                    if trial.state in (State.COMPLETE, State.PRUNED)
                    and trial.best_value is not None
                ),
                key=key,
            )
        )

    @property
    def winner(self) -> TrialView | None:
        """The best COMPLETE trial; failing that the best PRUNED one."""
        ranked = self.ranked()
        return ranked[0] if ranked else None
