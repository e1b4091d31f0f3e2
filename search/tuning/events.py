"""What happens during a run, as values that a table, a log or a test can show.

Emitted by the driver *after* the recorder has committed what they say: what is
shown is saved. No ray here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from search.space.settings import Value
from search.study.records import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """Progress of work before the first trial (images, weights, Ray)."""

    what: str
    done: int = 0
    total: int = 0
    """0 when unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to know: a warning, a licence, what was left out."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Nothing settled for a while; said at least every 15 seconds."""

    text: str
    """E.g. ``waiting for GPUs: asked 1, the cluster has 0``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted:
    number: int
    point: Mapping[str, Value]
    from_epoch: int = 0
    """Epochs already trained in an earlier run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    number: int
    epoch: int
    value: float
    """The objective on the validation part."""
    keeps: bool
    """Whether the scheduler lets the trial go on."""
    why: str
    """``rung 1: 0.713 < 0.742, the cutoff of 20 earlier trials``; may be empty."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0
    """Trained on; 0 where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettled:
    number: int
    outcome: Outcome
    best_value: float | None
    best_epoch: int | None
    epochs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialWaits:
    """A running trial was set back to waiting; a later run goes on with it."""

    number: int
    epochs: int
    """Reported so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """Progress of work after the last trial (export, test set, baselines)."""

    what: str
    done: int = 0
    total: int = 0
    """0 when unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Counts for the heading of a live table; after every settled trial."""

    settled: int
    running: int
    budget_trials: int | None
    seconds: float
    """Wall time over all runs of the study."""
    seconds_left: float | None
    """An estimate; None before two trials have settled."""


Event: TypeAlias = (
    Preparing
    | Measuring
    | Note
    | Idle
    | TrialStarted
    | TrialWaits
    | EpochDone
    | TrialSettled
    | Progress
)
Listener: TypeAlias = Callable[[Event], None]
