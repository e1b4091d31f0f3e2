"""From what a storage holds of a trial to a :class:`TrialView`. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from search.study.records import STOPPED_EARLY, FailReason, Outcome, State, TrialView

STATES = {
    "WAITING": State.WAITING,
    "RUNNING": State.RUNNING,
    "COMPLETE": State.COMPLETE,
    "PRUNED": State.PRUNED,
    "FAIL": State.FAILED,
}
"""Our states by Optuna's names."""
READY = "ready"
"""Attribute that is written last when a study is made; without it there is none."""
LAST = "last"
"""Attribute of a trial: what its last report brought."""

_COLUMNS = (
    "parameters_trained",
    "parameters_total",
    "peak_memory_mb",
    "host",
    "micro_batch",
    STOPPED_EARLY,
    "balance",
)
"""Of the last report; columns of their own in the dashboard once settled."""


def trial_view(
    number: int,
    state: str,
    attributes: Mapping[str, Any],
    curve: Mapping[int, float],
    *,
    maximize: bool,
) -> TrialView:
    """A trial as a plain value.

    Args:
        number: 0-based.
        state: Optuna's name of it.
        attributes: As stored.
        curve: Objective by epoch.
        maximize: Whether more is better.
    """
    curve = dict(sorted(curve.items()))
    best = best_epoch(curve, maximize=maximize)
    shown = {
        # ``seconds`` of a report are the epoch's; those of a trial are its own.
        **{name: value for name, value in attributes.get(LAST, {}).items() if name != "seconds"},
        **{name: value for name, value in attributes.items() if name != LAST},
    }
    if curve:
        shown["epochs"] = max(curve)
    reason = attributes.get("reason")
    return TrialView(
        number=number,
        state=STATES[state],
        params=dict(attributes.get("point", {})),
        curve=curve,
        best_value=None if best is None else curve[best],
        best_epoch=best,
        why=str(attributes.get("why", "")),
        reason=None if reason is None else FailReason(reason),
        started=_moment(attributes.get("started")),
        ended=_moment(attributes.get("ended")),
        attributes=shown,
    )


def ending(view: TrialView, outcome: Outcome, *, seconds: float, now: str) -> dict[str, Any]:
    """What a trial keeps when it is settled; it cannot be written to later.

    Args:
        view: The running trial.
        outcome: How it ends.
        seconds: Its wall time over all runs.
        now: ISO 8601.
    """
    kept: dict[str, Any] = {
        "why": outcome.why,
        "ended": now,
        "epochs": max(view.curve, default=0),
        "seconds": seconds,
    }
    if view.best_value is not None:
        kept |= {"best_value": view.best_value, "best_epoch": view.best_epoch}
    if outcome.reason is not None:
        kept["reason"] = str(outcome.reason)
    if outcome.detail:
        kept["detail"] = outcome.detail
    return kept | {name: view.attributes[name] for name in _COLUMNS if name in view.attributes}


def final_value(view: TrialView, state: State) -> float | None:
    """Optuna's value of a settled trial: of the best epoch when COMPLETE, of the
    last one when PRUNED (as Optuna's own pruners leave it), none when FAILED."""
    if state is State.COMPLETE:
        return view.best_value
    return view.curve[max(view.curve)] if state is State.PRUNED and view.curve else None


def best_epoch(curve: Mapping[int, float], *, maximize: bool) -> int | None:
    """The epoch of the best finite value, the earliest on a tie; None without any."""
    sign = -1.0 if maximize else 1.0
    finite = [epoch for epoch, value in curve.items() if math.isfinite(value)]
    return min(finite, key=lambda epoch: (sign * curve[epoch], epoch), default=None)


def plain(value: Any) -> Any:
    """``value`` as JSON gives it back; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
