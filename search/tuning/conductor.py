"""What is decided during a run: who is asked, who goes on, when it is over.

One object between Ray's hooks (``searcher.py``, ``asha.py``) and the recorder.
Ray calls it from its own thread, one call at a time; the main thread only sets
the stop request and reads counts. Every event is emitted after the recorder
has committed what it says.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from search.problems import SearchError
from search.space.settings import Value
from search.space.spec import StudySpec
from search.study.records import Asked, FailReason, Outcome, State, StudyView
from search.tuning.events import (
    EpochDone,
    Listener,
    Note,
    Progress,
    TrialSettled,
    TrialStarted,
    TrialWaits,
)
from search.tuning.job import Told

FAILURES_IN_A_ROW = 5
"""A study whose first settled trials all failed is stopped after this many."""


SAVE_SECONDS = 10.0
"""The study's wall time in the record is at most about this old."""


class Recorder(Protocol):
    """The one writer of the study (``search.study.record``)."""

    @property
    def default_number(self) -> int | None: ...

    def ask(self) -> Asked | None: ...

    def report(
        self, number: int, epoch: int, value: float, attributes: Mapping[str, Any]
    ) -> None: ...

    def settle(self, number: int, outcome: Outcome) -> None: ...

    def interrupt(self, number: int) -> None: ...

    def add_seconds(self, seconds: float) -> None: ...

    def view(self) -> StudyView: ...


class Judge(Protocol):
    """The scheduler, as the conductor sees it (``search.tuning.asha.Asha``)."""

    def judge(self, trial: Any, epoch: int, value: float) -> Any: ...

    def remember(self, key: str, curve: Mapping[int, float]) -> None: ...

    def forget(self, key: str) -> None: ...


@dataclass(slots=True)
class _Live:
    """A trial that Ray has now."""

    number: int
    point: Mapping[str, Value]
    curve: dict[int, float]
    since: float = field(default_factory=time.monotonic)
    deaths: int = 0
    detail: str = ""


class Conductor:
    """Asks, judges, records and says so.

    Args:
        spec: The study.
        recorder: Its record; nothing else writes to it meanwhile.
        listener: Told of everything that was committed.
        concurrency: Trials at once, >= 1.
        on_settled: Called with the study after a trial was settled and
            recorded (weights are tidied up there).
    """

    def __init__(
        self,
        *,
        spec: StudySpec,
        recorder: Recorder,
        listener: Listener,
        concurrency: int,
        on_settled: Callable[[StudyView], None],
    ) -> None:
        self._spec = spec
        self._recorder = recorder
        self._listener = listener
        self._concurrency = concurrency
        self._on_settled = on_settled
        self._lock = threading.RLock()
        self._live: dict[str, _Live] = {}
        self._sign = 1.0 if spec.direction == "maximize" else -1.0
        self._stop = threading.Event()
        self._reports_awaited: set[str] = set()
        self.exhausted = False
        """Every point of a finite space was tried."""
        self.fault: SearchError | None = None
        """Why the record could not be written; the run is over then."""
        self._began = time.monotonic()
        view = recorder.view()
        self._earlier_seconds = float(view.attributes.get("seconds", 0.0))
        self._seconds_recorded = 0.0
        self._settled = {trial.number for trial in view.trials if trial.state.settled}
        self._failed = sum(trial.state is State.FAILED for trial in view.trials)
        self._settled_here: list[float] = []
        self.too_many_failures = False
        self.last_progress = time.monotonic()

    def __getstate__(self) -> dict[str, object]:
        """Ray pickles what it is given into a file: nothing of ours, which holds
        locks and the storage's URL, goes there."""
        return {}

    # What Ray's searcher asks ------------------------------------------------

    def recall(self, judge: Judge) -> None:
        """Fill the scheduler's rungs with what the study has seen before."""
        for trial in self._recorder.view().trials:
            if trial.curve:
                judge.remember(_memory(trial.number), trial.curve)

    def next(self, ray_id: str, judge: Judge) -> Asked | None:
        """The next trial for Ray, or None: ask again later, or :attr:`over`."""
        with self._lock:
            try:
                return self._next(ray_id, judge)
            except SearchError as fault:
                self._away(fault)
                return None

    def _next(self, ray_id: str, judge: Judge) -> Asked | None:
        if self.over or len(self._live) >= self._concurrency:
            return None
        budget = self._spec.budget.trials
        if budget is not None and len(self._settled) + len(self._live) >= budget:
            return None
        asked = self._recorder.ask()
        if asked is None:
            self.exhausted = True
            return None
        self._live[ray_id] = _Live(number=asked.number, point=asked.point, curve=dict(asked.curve))
        last = max(asked.curve, default=0)
        if last >= self._spec.epochs.max:  # cut between its last report and its end
            self._settle(
                ray_id, Outcome(state=State.COMPLETE, why=f"reached epoch {last}, the last")
            )
            return self._next(ray_id, judge)
        if asked.curve:
            judge.forget(_memory(asked.number))
            judge.remember(ray_id, asked.curve)
        self.last_progress = time.monotonic()
        self._listener(
            TrialStarted(
                number=asked.number,
                point=asked.point,
                from_epoch=max(asked.curve, default=0),
            )
        )
        return asked

    @property
    def over(self) -> bool:
        """Whether no trial will be started any more in this run."""
        budget = self._spec.budget.trials
        return (
            self._stop.is_set()
            or self.exhausted
            or self.too_many_failures
            or self.out_of_time
            or (budget is not None and len(self._settled) >= budget)
        )

    @property
    def out_of_time(self) -> bool:
        """Whether the study's wall time is used up."""
        minutes = self._spec.budget.minutes
        return minutes is not None and self.seconds >= minutes * 60

    @property
    def seconds(self) -> float:
        """Wall time of the study, this run included."""
        return self._earlier_seconds + time.monotonic() - self._began

    @property
    def live(self) -> int:
        """Trials that Ray has now."""
        return len(self._live)

    @property
    def quiet_seconds(self) -> float:
        """Seconds since a trial was started or reported."""
        return time.monotonic() - self.last_progress

    @property
    def ended(self) -> bool:
        """Whether the run is over and nothing is left to wait for."""
        return self.over and (not self._live or (self._stop.is_set() and self.reported))

    # What Ray's scheduler reports --------------------------------------------

    def on_report(self, judge: Judge, trial: Any, result: dict[str, Any]) -> bool:
        """Record one result of a trial; whether the trial goes on."""
        with self._lock:
            try:
                return self._report(judge, trial, result)
            except SearchError as fault:
                self._away(fault)
                return False

    def _report(self, judge: Judge, trial: Any, result: dict[str, Any]) -> bool:
        ray_id = str(trial.trial_id)
        live = self._live.get(ray_id)
        if live is None:  # interrupted meanwhile
            return False
        self.last_progress = time.monotonic()
        self._reports_awaited.discard(ray_id)
        if time.monotonic() - self._began - self._seconds_recorded > SAVE_SECONDS:
            self.save_seconds()
        told: Told = result["told"]
        if told.failure is not None:
            self._settle(ray_id, told.failure)
            return False
        epoch, value = int(result["epoch"]), float(result["value"])
        if not math.isfinite(value):
            self._settle(
                ray_id,
                Outcome(
                    state=State.FAILED,
                    reason=FailReason.DIVERGED,
                    why=f"{self._spec.objective} is {value} at epoch {epoch}",
                ),
            )
            return False
        if epoch in live.curve:  # read again from the checkpoint by a new worker
            return True
        self._recorder.report(live.number, epoch, value, told.attributes)
        live.curve[epoch] = value
        verdict = self._spared(live.number, judge.judge(trial, epoch, value))
        self._listener(
            EpochDone(
                number=live.number,
                epoch=epoch,
                value=value,
                keeps=verdict.keeps,
                why=verdict.why,
                metrics=told.attributes.get("metrics", {}),
            )
        )
        if verdict.finished:
            self._settle(ray_id, Outcome(state=State.COMPLETE, why=verdict.why))
        elif not verdict.keeps:
            self._settle(ray_id, Outcome(state=State.PRUNED, why=verdict.why))
        elif self._stop.is_set() or self.out_of_time or self.too_many_failures:
            self._put_back(ray_id)
        else:
            return True
        return False

    def worker_died(self, ray_id: str, detail: str) -> None:
        """Ray lost a trial's worker; it starts the trial again, or gives up."""
        live = self._live.get(ray_id)
        if live is None:
            return
        live.deaths += 1
        live.detail = detail
        epoch = max(live.curve, default=0)
        self._listener(
            Note(
                level="warning",
                text=f"trial {live.number}: its worker died after epoch {epoch}",
            )
        )

    def gave_up(self, ray_id: str) -> None:
        """Ray will not start the trial again after its worker died."""
        with self._lock:
            if ray_id not in self._live:
                return
            deaths = max(1, self._live[ray_id].deaths)
            self._settle(
                ray_id,
                Outcome(
                    state=State.FAILED,
                    reason=FailReason.CRASHED,
                    why=f"the worker died {deaths} time{'' if deaths == 1 else 's'}",
                    detail=self._live[ray_id].detail,
                ),
            )

    # What the main thread wants ----------------------------------------------

    def stop(self) -> None:
        """Start no more trials; those that run may report once more."""
        self._reports_awaited = set(self._live)
        self._stop.set()

    @property
    def reported(self) -> bool:
        """Whether every trial that ran at :meth:`stop` has reported since."""
        return not self._reports_awaited

    def put_back_all(self) -> None:
        """Set every trial that is still live back to waiting."""
        with self._lock:
            for ray_id in list(self._live):
                self._put_back(ray_id)

    def save_seconds(self) -> None:
        """Add the wall time since the last call to the study's."""
        here = time.monotonic() - self._began
        self._recorder.add_seconds(here - self._seconds_recorded)
        self._seconds_recorded = here

    # -------------------------------------------------------------------------

    def _away(self, fault: SearchError) -> None:
        """The storage failed: end the run. What is not recorded is in the trials'
        checkpoints, and the next run reports it from there."""
        self.fault = self.fault or fault
        self._reports_awaited.clear()
        self._stop.set()

    def _spared(self, number: int, verdict: Any) -> Any:
        """The verdict, but that the default settings are trained to the end: they
        are what the winner is compared with, and one trial."""
        if verdict.keeps or verdict.finished or number != self._recorder.default_number:
            return verdict
        why = f"{verdict.why}; kept all the same: the default settings are the baseline"
        return replace(verdict, keeps=True, why=why)

    def _put_back(self, ray_id: str) -> None:
        live = self._live.pop(ray_id, None)
        if live is not None:
            self._recorder.interrupt(live.number)
            self._listener(TrialWaits(number=live.number, epochs=max(live.curve, default=0)))

    def _settle(self, ray_id: str, outcome: Outcome) -> None:
        live = self._live[ray_id]
        seconds = time.monotonic() - live.since
        self._recorder.settle(live.number, outcome)
        del self._live[ray_id]
        self.save_seconds()
        self._settled.add(live.number)
        self._settled_here.append(seconds)
        self._failed += outcome.state is State.FAILED
        best = max(live.curve, key=lambda epoch: self._sign * live.curve[epoch], default=None)
        self._listener(
            TrialSettled(
                number=live.number,
                outcome=outcome,
                best_value=None if best is None else live.curve[best],
                best_epoch=best,
                epochs=max(live.curve, default=0),
                seconds=seconds,
            )
        )
        if self._failed == len(self._settled) >= FAILURES_IN_A_ROW:
            self.too_many_failures = True
        self._on_settled(self._recorder.view())
        self._listener(
            Progress(
                settled=len(self._settled),
                running=len(self._live),
                budget_trials=self._spec.budget.trials,
                seconds=self.seconds,
                seconds_left=self.seconds_left,
            )
        )

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the trials settled in this run; None before two."""
        if len(self._settled_here) < 2:
            return None
        limits = []
        if self._spec.budget.trials is not None:
            pace = (time.monotonic() - self._began) / len(self._settled_here)
            limits.append(pace * max(0, self._spec.budget.trials - len(self._settled)))
        if self._spec.budget.minutes is not None:
            limits.append(max(0.0, self._spec.budget.minutes * 60 - self.seconds))
        return min(limits) if limits else None


def _memory(number: int) -> str:
    """The rung key of a trial's curve from an earlier run."""
    return f"number-{number}"
