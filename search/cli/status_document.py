"""The JSON documents of ``search status --json``. Pure: views in, JSON values out.

Stable: keys are added, never renamed. NaN and infinite numbers are null, times
are ISO 8601, and a study's ``counts`` always holds all five states.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from search.cli.run_exit import finished
from search.space.settings import Value
from search.space.spec import Budget
from search.study.records import State, StudyView, TrialView
from search.training.config import SETTINGS

if TYPE_CHECKING:
    from search.study.holder import Holder

STATES = (State.COMPLETE, State.PRUNED, State.FAILED, State.RUNNING, State.WAITING)
LEADERBOARD = 10
"""Trials of a leaderboard."""


def studies_document(studies: Sequence[StudyView], *, storage: str) -> dict[str, Any]:
    """All studies, the newest first."""
    return {
        "storage": storage,
        "studies": [
            {
                "study": study.name,
                "objective": study.objective,
                "direction": study.direction,
                "counts": counts(study),
                "best": _best(study.winner),
                "seconds": seconds(study),
            }
            for study in studies
        ],
    }


def study_document(
    study: StudyView, *, storage: str, driver: Holder | None = None
) -> dict[str, Any]:
    """One study: counts, best, leaderboard, what runs and where, budget."""
    limit = budget(study)
    return {
        "study": study.name,
        "objective": study.objective,
        "direction": study.direction,
        "counts": counts(study),
        "failures": failures(study),
        "best": _best(study.winner),
        "leaderboard": [_best(trial) for trial in study.ranked()[:LEADERBOARD]],
        "running": [_running(trial) for trial in running(study)],
        "driver": None
        if driver is None
        else {"host": driver.owner.host, "pid": driver.owner.pid, "since": _time(driver.since)},
        "budget": {"trials": limit.trials, "minutes": limit.minutes},
        "seconds": seconds(study),
        "results": clean(study.attributes.get("results")),
        "storage": storage,
    }


def trial_document(study: StudyView, trial: TrialView, *, storage: str) -> dict[str, Any]:
    """One trial: settings, curve, why it ended, its log."""
    return {
        "study": study.name,
        "trial": trial.number,
        "state": trial.state.value,
        "why": trial.why,
        "reason": None if trial.reason is None else trial.reason.value,
        "objective": study.objective,
        "value": clean(trial.best_value),
        "epoch": trial.best_epoch,
        "params": dict(trial.params),
        "settings": settings_in_force(trial),
        "curve": [[epoch, clean(value)] for epoch, value in sorted(trial.curve.items())],
        "started": _time(trial.started),
        "ended": _time(trial.ended),
        "attributes": clean(trial.attributes),
        "storage": storage,
    }


def settings_in_force(trial: TrialView) -> dict[str, Value]:
    """Every setting of a trial: its params, and defaults for the others."""
    return {name: trial.params.get(name, row.default) for name, row in SETTINGS.items()}


def counts(study: StudyView) -> dict[str, int]:
    """Trials by state, every state present."""
    found = study.counts()
    return {state.value: found.get(state, 0) for state in STATES}


def failures(study: StudyView) -> dict[str, int]:
    """Failed trials by reason, the commonest first."""
    reasons = [trial.reason.value for trial in study.trials if trial.reason is not None]
    return dict(
        sorted(
            ((reason, reasons.count(reason)) for reason in set(reasons)),
            key=lambda pair: (-pair[1], pair[0]),
        )
    )


def running(study: StudyView) -> list[TrialView]:
    """Trials that run, or that wait with a curve of an earlier run."""
    return [
        trial
        for trial in study.trials
        if trial.state is State.RUNNING or (trial.state is State.WAITING and trial.curve)
    ]


def seconds(study: StudyView) -> float:
    """Wall time over all runs, in seconds."""
    return round(float(study.attributes.get("seconds") or 0.0), 1)


def budget(study: StudyView) -> Budget:
    """That of the newest run's space; None in it is without a limit."""
    space = study.attributes.get("space")
    found = space.get("budget") if isinstance(space, Mapping) else None
    return Budget(**found) if isinstance(found, Mapping) else Budget(trials=None)


def measuring(study: StudyView) -> bool:
    """Whether a run of the study, if there is one, has nothing left to do but to export
    the best trial and to measure it on the test set. What runs when the minutes are used
    up waits for a longer budget."""
    runs = any(trial.state is State.RUNNING for trial in study.trials)
    return not (runs or measured(study)) and finished(budget(study), study)


def measured(study: StudyView) -> bool:
    """Whether there is nothing to measure on the test set, or that was done."""
    winner, results = study.winner, study.attributes.get("results")
    if winner is None:
        return True
    return isinstance(results, Mapping) and results.get("trial") == winner.number


def clean(value: Any) -> Any:
    """``value`` with what JSON does not have replaced: NaN is null, others text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): clean(each) for key, each in value.items()}
        case list() | tuple():
            return [clean(each) for each in value]
        case datetime():
            return _time(value)
    return str(value)


def _best(trial: TrialView | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "value": clean(trial.best_value),
        "epoch": trial.best_epoch,
        "params": dict(trial.params),
    }


def _running(trial: TrialView) -> dict[str, Any]:
    last = max(trial.curve, default=None)
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "epoch": last,
        "value": None if last is None else clean(trial.curve[last]),
        "best": clean(trial.best_value),
        "params": dict(trial.params),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
