"""What is decided during a run: who is asked, who goes on, when it is over.

One object between Ray's hooks (``searcher.py``, ``asha.py``) and the recorder.
Ray calls it from its own thread, one call at a time; the main thread only sets
the stop request and reads counts. It decides in memory, so that no trial waits for
the storage; another thread commits behind it, in order (``study/behind.py``), and
emits every event after the recorder has committed what it says.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from search.disk import MAKE_ROOM
from search.problems import Exit, SearchError, fail
from search.space.spec import StudySpec
from search.study.behind import Behind
from search.study.records import Asked, FailReason, Outcome, StudyView
from search.tuning import endings
from search.tuning.endings import Death
from search.tuning.events import EpochDone, Listener, Note, TrialStarted
from search.tuning.job import Told
from search.tuning.notes import Notes
from search.tuning.seams import Judge, Recorder
from search.tuning.settling import Live, Settling
from search.tuning.upcoming import Upcoming

SAVE_SECONDS = 10.0
"""The study's wall time in the record is at most about this old."""


class Conductor:
    """Asks, judges, records and says so.

    Args:
        spec: The study.
        recorder: Its record; nothing else writes to it meanwhile.
        listener: Told of everything by the thread that commits it.
        concurrency: Trials at once, >= 1.
        on_settled: Called with the study after a trial was settled and
            recorded (weights are tidied up there).
        files: Called with a trial's number before it is settled; makes and names what
            there is to see of it.
    """

    def __init__(
        self,
        *,
        spec: StudySpec,
        recorder: Recorder,
        listener: Listener,
        concurrency: int,
        on_settled: Callable[[StudyView], None],
        files: Callable[[int], Sequence[str]] = lambda _: (),
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
        self._behind = Behind()
        self._full: SearchError | None = None
        """Why a checkpoint could not be written."""
        self._notes = Notes()
        self._upcoming = Upcoming(recorder, self._behind)
        self._default = recorder.default_number
        self._judged = 0
        self._recorded = 0  # counted by the thread that writes
        self._settling = Settling(
            spec=spec,
            recorder=recorder,
            behind=self._behind,
            listener=listener,
            on_settled=on_settled,
            files=files,
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
            while (asked := self._ask()) is not None:
                self._live[ray_id] = Live(
                    number=asked.number, point=asked.point, curve=dict(asked.curve)
                )
                outcome = endings.at_ask(asked, last_epoch=self._spec.epochs.max)
                if outcome is None:
                    break
                self._settle(ray_id, outcome)
            if asked is None:
                return None
            if asked.curve:
                judge.forget(_memory(asked.number))
                judge.remember(ray_id, asked.curve)
            self.last_progress = time.monotonic()
            from_epoch = self._live[ray_id].epochs
        started = TrialStarted(number=asked.number, point=asked.point, from_epoch=from_epoch)
        self._behind.put(partial(self._listener, started))
        return asked

    def _ask(self) -> Asked | None:
        """The study's next trial; None when there is none, or none yet."""
        running = len(self._live)
        room = running < self._concurrency and self._tally.has_room(running)
        if self.over or not room or not self._upcoming.ready():
            return None
        asked = self._upcoming.take()
        self._default = self._recorder.default_number
        self.exhausted = asked is None
        return asked

    @property
    def over(self) -> bool:
        """Whether no trial will be started any more in this run."""
        cut = self._stop.is_set() or self.fault is not None
        return cut or self.exhausted or self._tally.spent(len(self._live))

    @property
    def fault(self) -> BaseException | None:
        """Why the record or a checkpoint could not be written; the run is over then."""
        return self._behind.fault or self._full

    @property
    def unrecorded(self) -> int:
        """Epochs that were reported and are not committed."""
        return self._judged - self._recorded

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
        landed = self.fault is not None or (self._stop.is_set() and self.reported)
        return self.over and (not self._live or landed)

    # What Ray's scheduler reports --------------------------------------------

    def on_report(self, judge: Judge, trial: Any, result: dict[str, Any]) -> bool:
        """Judge one result of a trial and have it recorded; whether the trial goes on."""
        with self._lock:
            return self.fault is None and self._report(judge, trial, result)

    def _report(self, judge: Judge, trial: Any, result: dict[str, Any]) -> bool:
        ray_id = str(trial.trial_id)
        live = self._live.get(ray_id)
        if live is None:  # interrupted meanwhile
            return False
        self.last_progress = time.monotonic()
        self._reports_awaited.discard(ray_id)
        if self._tally.seconds_unsaved > SAVE_SECONDS:
            self._settling.save_seconds()
        told: Told = result["told"]
        for note in self._notes.new(live.number, told):
            self._behind.put(partial(self._listener, note))
        if told.disk_full:
            self._full = fail(told.disk_full, fix=MAKE_ROOM, status=Exit.STORAGE)
            self._put_back(ray_id)
            return False
        if told.failure is not None:
            self._settle(ray_id, told.failure)
            return False
        epoch, value = int(result["epoch"]), float(result["value"])
        if not math.isfinite(value):
            self._settle(ray_id, endings.of_value(self._spec.objective, value, epoch))
            return False
        if epoch in live.curve:  # read again from the checkpoint by a new worker
            return True
        verdict = judge.judge(trial, epoch, value)
        if live.number == self._default:
            verdict = endings.spared(verdict)
        verdict = endings.with_patience(verdict, told.attributes)
        kept = endings.kept_with(verdict, told.attributes)
        done = EpochDone(
            number=live.number,
            epoch=epoch,
            value=value,
            keeps=verdict.keeps,
            why=verdict.why,
            metrics=told.attributes.get("metrics", {}),
            images_per_second=float(told.attributes.get("images_per_second", 0.0)),
        )
        self._behind.put(
            partial(self._recorder.report, live.number, epoch, value, kept),
            partial(self._committed, done),
        )
        self._judged += 1
        live.curve[epoch] = value
        outcome = endings.at_report(verdict)
        if outcome is not None:
            self._settle(ray_id, outcome)
        elif self._stop.is_set() or self.out_of_time or self.too_many_failures:
            self._put_back(ray_id)
        else:
            return True
        return False

    def trial(self, ray_id: str) -> Live | None:
        """A trial that Ray has now."""
        return self._live.get(ray_id)

    def worker_died(self, ray_id: str, death: Death) -> None:
        """Ray lost a trial's worker; it starts the trial again, or gives up."""
        live = self._live.get(ray_id)
        if live is None:
            return
        live.deaths.append(death)
        said = f" {death.said}" if death.said else ""
        what = f"trial {live.number}: its {endings.happened(death)} after epoch {live.epochs}{said}"
        self._behind.put(partial(self._listener, Note(level="warning", text=what)))

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
            if outcome.reason is FailReason.LOST_NODE and live.number not in self._homeless:
                self._homeless.add(live.number)
                self._put_back(ray_id)
            else:
                self._settle(ray_id, outcome)

    def fails(self, ray_id: str, outcome: Outcome) -> None:
        """A trial is given up from outside; what Ray says of its worker is of no matter."""
        with self._lock:
            if ray_id in self._live:
                self._reports_awaited.discard(ray_id)
                self._settle(ray_id, outcome)

    # What the main thread wants ----------------------------------------------

    def stop(self) -> None:
        """Start no more trials; those that run may report once more."""
        self._reports_awaited = set(self._live)
        self._stop.set()

    @property
    def reported(self) -> bool:
        """Whether every trial that ran at :meth:`stop` has reported since."""
        return not self._reports_awaited

    def end(self) -> None:
        """Set every trial that is still live back to waiting, and take no more;
        :meth:`written` tells when that is committed."""
        self._stop.set()
        with self._lock:
            for ray_id in list(self._live):
                self._put_back(ray_id)
            self._upcoming.give_back()
            self._settling.save_seconds()
            self._behind.put(self._behind.close)

    def written(self, seconds: float) -> bool:
        """Whether all is committed, or nothing will be any more; waits so long for it."""
        return self._behind.drained(seconds)

    # -------------------------------------------------------------------------

    def _committed(self, done: EpochDone) -> None:
        self._recorded += 1
        self._listener(done)

    def _put_back(self, ray_id: str) -> None:
        live = self._live.pop(ray_id, None)
        if live is not None:
            self._settling.put_back(live.number, live.epochs)

    def _settle(self, ray_id: str, outcome: Outcome) -> None:
        self._settling.settle(self._live.pop(ray_id), outcome, running=len(self._live))


def _memory(number: int) -> str:
    """The rung key of a trial's curve from an earlier run."""
    return f"number-{number}"
