"""How a trial ends, from what is known of it. Pure; no ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.study.records import STOPPED, STOPPED_EARLY, Asked, FailReason, Outcome, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the scheduler said at one report."""

    keeps: bool
    finished: bool
    """The trial reached the last epoch, or its own end."""
    why: str
    """Empty between rungs."""
    early: bool = False
    """Its own patience ended it before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The loss of a trial's worker."""

    reason: FailReason
    """CRASHED, LOST_NODE or OUT_OF_MEMORY."""
    text: str = ""
    """What Ray says of it; may be long."""
    said: str = ""
    """What the worker had to say, and what comes of it: ``with 32 images at once; ...``."""


_HAPPENED = {
    FailReason.CRASHED: "worker died",
    FailReason.LOST_NODE: "node was lost",
    FailReason.OUT_OF_MEMORY: "worker ran out of memory",
}


def happened(death: Death) -> str:
    """A death in words, e.g. ``worker died``."""
    return _HAPPENED[death.reason]


def at_report(verdict: Verdict) -> Outcome | None:
    """How a verdict ends a trial; None when it goes on."""
    if verdict.finished:
        return Outcome(state=State.COMPLETE, why=verdict.why)
    return None if verdict.keeps else Outcome(state=State.PRUNED, why=verdict.why)


def with_patience(verdict: Verdict, attributes: Mapping[str, Any]) -> Verdict:
    """The verdict on a trial that may end itself at this report. What the scheduler stops
    is stopped by the scheduler; what it would let go on is complete."""
    early = str(attributes.get(STOPPED_EARLY, ""))
    if not early or verdict.finished or not verdict.keeps:
        return verdict
    return Verdict(keeps=False, finished=True, why=early, early=True)


def spared(verdict: Verdict) -> Verdict:
    """The verdict on the default settings, which are trained to the end: they are
    what the winner is compared with, and one trial."""
    if verdict.keeps or verdict.finished:
        return verdict
    why = f"{verdict.why}; kept all the same: the default settings are the baseline"
    return replace(verdict, keeps=True, why=why)


def kept_with(verdict: Verdict, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a report with the verdict on it. In one transaction with the
    report, so that a trial cut before it is settled is not trained on later."""
    stops = not verdict.keeps and not verdict.finished
    said = {name: value for name, value in attributes.items() if name != STOPPED_EARLY}
    if verdict.early:
        said[STOPPED_EARLY] = verdict.why
    return {**said, **({STOPPED: verdict.why} if stops else {})}


def at_ask(asked: Asked, *, last_epoch: int) -> Outcome | None:
    """How a trial ends that was cut between its last report and its end; None
    for one that trains (on)."""
    epoch = max(asked.curve, default=0)
    if epoch >= last_epoch:
        return Outcome(state=State.COMPLETE, why=f"reached epoch {epoch}, the last")
    if asked.stopped_early:
        return Outcome(state=State.COMPLETE, why=asked.stopped_early)
    if asked.stopped:
        return Outcome(state=State.PRUNED, why=asked.stopped)
    return None


def of_value(objective: str, value: float, epoch: int) -> Outcome:
    """The end of a trial whose objective is not finite."""
    return Outcome(
        state=State.FAILED,
        reason=FailReason.DIVERGED,
        why=f"{objective} is {value} at epoch {epoch}",
    )


def of_deaths(deaths: Sequence[Death]) -> Outcome:
    """The end of a trial that is not started again; the last death is the reason."""
    known = deaths or [Death(reason=FailReason.CRASHED)]
    counted = Counter(happened(death) for death in known)
    return Outcome(
        state=State.FAILED,
        reason=known[-1].reason,
        why=", ".join(
            f"the {what} {times} time{'' if times == 1 else 's'}" for what, times in counted.items()
        ),
        detail=known[-1].text,
    )
