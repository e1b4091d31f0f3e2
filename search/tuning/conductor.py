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
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from search.problems import SearchError
from search.space.spec import StudySpec
from search.study.records import Asked, FailReason, Outcome, StudyView
from search.tuning import endings
from search.tuning.endings import Death, Verdict
from search.tuning.events import (
    EpochDone,
    Listener,
    Note,
    TrialStarted,
)
from search.tuning.job import Told
from search.tuning.seams import Judge, Recorder
from search.tuning.settling import Live, Settling

SAVE_SECONDS = 10.0
"""The study's wall time in the record is at most about this old."""


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
        self._lock = threading.RLock()
        self._live: dict[str, Live] = {}
        self._stop = threading.Event()
        self._reports_awaited: set[str] = set()
        self._homeless: set[int] = set()
        """Trials that went back to waiting because their node was lost."""
        self.exhausted = False
        """Every point of a finite space was tried."""
        self.fault: SearchError | None = None
        """Why the record could not be written; the run is over then."""
        self._settling = Settling(
            spec=spec, recorder=recorder, listener=listener, on_settled=on_settled
        )
        self._tally = self._settling.tally
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
        if not self._tally.has_room(len(self._live)):
            return None
        asked = self._recorder.ask()
        if asked is None:
            self.exhausted = True
            return None
        self._live[ray_id] = Live(number=asked.number, point=asked.point, curve=dict(asked.curve))
        outcome = endings.at_ask(asked, last_epoch=self._spec.epochs.max)
        if outcome is not None:
            self._settle(ray_id, outcome)
            return self._next(ray_id, judge)
        if asked.curve:
            judge.forget(_memory(asked.number))
            judge.remember(ray_id, asked.curve)
        self.last_progress = time.monotonic()
        self._listener(
            TrialStarted(
                number=asked.number,
                point=asked.point,
                from_epoch=self._live[ray_id].epochs,
            )
        )
        return asked

    @property
    def over(self) -> bool:
        """Whether no trial will be started any more in this run."""
        return self._stop.is_set() or self.exhausted or self._tally.spent

    @property
    def out_of_time(self) -> bool:
        """Whether the study's wall time is used up."""
        return self._tally.out_of_time

    @property
    def too_many_failures(self) -> bool:
        """Whether the first trials of the study all failed."""
        return self._tally.too_many_failures

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
        if self._tally.seconds_unsaved > SAVE_SECONDS:
            self.save_seconds()
        told: Told = result["told"]
        for text in told.notes:
            self._listener(Note(text=text))
        if told.failure is not None:
            self._settle(ray_id, told.failure)
            return False
        epoch, value = int(result["epoch"]), float(result["value"])
        if not math.isfinite(value):
            self._settle(ray_id, endings.of_value(self._spec.objective, value, epoch))
            return False
        if epoch in live.curve:  # read again from the checkpoint by a new worker
            return True
        verdict = self._spared(live.number, judge.judge(trial, epoch, value))
        kept = endings.kept_with(verdict, told.attributes)
        self._recorder.report(live.number, epoch, value, kept)
        live.curve[epoch] = value
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
        outcome = endings.at_report(verdict)
        if outcome is not None:
            self._settle(ray_id, outcome)
        elif self._stop.is_set() or self.out_of_time or self.too_many_failures:
            self._put_back(ray_id)
        else:
            return True
        return False

    def worker_died(self, ray_id: str, death: Death) -> None:
        """Ray lost a trial's worker; it starts the trial again, or gives up."""
        live = self._live.get(ray_id)
        if live is None:
            return
        live.deaths.append(death)
        what = f"trial {live.number}: its {endings.happened(death)} after epoch {live.epochs}"
        self._listener(Note(level="warning", text=what))

    def gave_up(self, ray_id: str) -> None:
        """Ray will not start the trial again after its worker died.

        A trial whose node was lost waits and is asked for once more: nothing is
        wrong with it, unless it happens to it again.
        """
        with self._lock:
            live = self._live.get(ray_id)
            if live is None:
                return
            outcome = endings.of_deaths(live.deaths)
            try:
                if outcome.reason is FailReason.LOST_NODE and live.number not in self._homeless:
                    self._homeless.add(live.number)
                    self._put_back(ray_id)
                else:
                    self._settle(ray_id, outcome)
            except SearchError as fault:
                self._away(fault)

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
        self._settling.save_seconds()

    # -------------------------------------------------------------------------

    def _away(self, fault: SearchError) -> None:
        """The storage failed: end the run. What is not recorded is in the trials'
        checkpoints, and the next run reports it from there."""
        self.fault = self.fault or fault
        self._reports_awaited.clear()
        self._stop.set()

    def _spared(self, number: int, verdict: Verdict) -> Verdict:
        """The verdict, but that the default settings are trained to the end: they
        are what the winner is compared with, and one trial."""
        if verdict.keeps or verdict.finished or number != self._recorder.default_number:
            return verdict
        why = f"{verdict.why}; kept all the same: the default settings are the baseline"
        return replace(verdict, keeps=True, why=why)

    def _put_back(self, ray_id: str) -> None:
        live = self._live.pop(ray_id, None)
        if live is not None:
            self._settling.put_back(live)

    def _settle(self, ray_id: str, outcome: Outcome) -> None:
        self._recorder.settle(self._live[ray_id].number, outcome)
        self._settling.settled(self._live.pop(ray_id), outcome, running=len(self._live))


def _memory(number: int) -> str:
    """The rung key of a trial's curve from an earlier run."""
    return f"number-{number}"
