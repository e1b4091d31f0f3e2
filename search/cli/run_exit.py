"""How ``search run`` ends: its exit status, and what to type next."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING

from search.cli.paths import storage_hint
from search.problems import Exit, fail
from search.space.secrets import redact
from search.space.spec import Budget, StudySpec
from search.study.records import EXHAUSTED, FailReason, State, StudyView
from search.study.streak import streak_of

if TYPE_CHECKING:
    from search.tuning.driver import RunEnd

_LIMITS = ("--trials", "--minutes", "--stop-after")


def finished(budget: Budget, view: StudyView) -> bool:
    """Whether the budget or the space leaves nothing to do."""
    minutes = budget.minutes
    return (
        _trials_done(budget, view)
        or (minutes is not None and float(view.attributes.get("seconds", 0.0)) >= minutes * 60)
        or _no_better(budget, view)
        or _exhausted(view)
    )


def _exhausted(view: StudyView) -> bool:
    """Whether every point of a finite space was tried, and none waits."""
    return EXHAUSTED in view.attributes and all(trial.state.settled for trial in view.trials)


def _trials_done(budget: Budget, view: StudyView) -> bool:
    trials = budget.trials
    return trials is not None and sum(each.state.settled for each in view.trials) >= trials


def _no_better(budget: Budget, view: StudyView) -> bool:
    limit = budget.stop_after
    return limit is not None and streak_of(view).length >= limit


def _why_finished(budget: Budget, view: StudyView) -> str:
    if _trials_done(budget, view):
        return "the trials are used up"
    if _no_better(budget, view):
        return f"no better trial in the last {streak_of(view).length}"
    return "the time is used up"


def stopped(number: int, *, waiting: int = 0, by: str = "", json: bool) -> Exit:
    """Say how to go on after a signal; the exit status.

    Args:
        number: The signal.
        waiting: Trials that go on next time.
        by: Host on which ``search stop`` was typed; empty when it was not.
        json: Whether stdout is for the document.
    """
    again = shlex.join(["search", *map(redact, sys.argv[1:])])
    wait = f"; {waiting} trial{' waits' if waiting == 1 else 's wait'}" if waiting else ""
    asked = f" by search stop from {by}" if by else ""
    print(f"stopped{asked}{wait}. To go on: {again}", file=sys.stderr if json else sys.stdout)
    return Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED


def exit_status(view: StudyView, end: RunEnd, spec: StudySpec, *, by: str = "", json: bool) -> Exit:
    """The exit status, and what to type next where the run was cut short.

    Raises:
        SearchError: With FAILURES, if trials have settled and every one failed.
    """
    out = sys.stderr if json else sys.stdout
    if end.signal is not None:
        return stopped(end.signal, waiting=view.counts()[State.WAITING], by=by, json=json)
    reasons = [trial.reason for trial in view.trials if trial.reason is not None]
    if end.too_many_failures or (reasons and view.winner is None):
        common: FailReason = max(dict.fromkeys(reasons), key=reasons.count)
        first = next(trial for trial in view.trials if trial.reason is common)
        raise fail(
            f"{_failed(len(reasons), early=end.too_many_failures)}: {common} ({first.why})",
            fix=f"search status {shlex.quote(spec.name)} --trial {first.number}"
            f"{storage_hint(spec.storage, os.environ)} shows the whole error",
            status=Exit.FAILURES,
        )
    if end.exhausted or _exhausted(view):
        print("every point of the space was tried; a larger space needs another --name", file=out)
    elif finished(spec.budget, view):
        why = _why_finished(spec.budget, view)
        print(f"{why}; to go on: {_extended(spec.budget, view)}", file=out)
    return Exit.DONE


def _failed(count: int, *, early: bool) -> str:
    """That no trial has a value, up to the reason; ``early`` where none was tried further."""
    if early:
        return f"the first {count} trials all failed, most often"
    none = "so there is no model"
    if count == 1:
        return f"the only trial that settled failed, {none}"
    return f"all {count} trials that settled failed, {none}; most often"


def _extended(budget: Budget, view: StudyView) -> str:
    """The command that was typed, with a budget half as large again."""
    typed = iter(sys.argv[1:])
    kept = []
    for word in typed:
        if word in _LIMITS:
            next(typed, None)
        elif not word.startswith(tuple(f"{flag}=" for flag in _LIMITS)):
            kept.append(word)
    flags = []
    if _trials_done(budget, view):
        settled = sum(trial.state.settled for trial in view.trials)
        flags += ["--trials", str(settled + max(1, settled // 2))]
    if budget.minutes is not None:
        used = float(view.attributes.get("seconds", 0.0)) / 60
        if used >= budget.minutes:
            flags += ["--minutes", str(round(used * 1.5) + 1)]
    if budget.stop_after is not None:
        streak = streak_of(view).length
        if streak >= budget.stop_after:
            flags += ["--stop-after", str(streak + max(1, budget.stop_after // 2))]
    return shlex.join(["search", *map(redact, kept), *flags])
