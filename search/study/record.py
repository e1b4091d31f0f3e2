"""The one writer of a study: ask, report, settle.

What a call recorded before it returned stays, whatever happens to the process.
Each call is one transaction: a crash leaves it whole or not at all, so no trial
is ever half sampled or half settled. Every call can be repeated: reporting an
epoch or settling a trial again changes nothing; so each is made again while the
database is away (``patience.py``). The study is opened (made, or found and
checked) in ``opening.py``.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from search.space.spec import StudySpec
from search.study.artifacts import described
from search.study.asking import begin, go_on
from search.study.known import Known
from search.study.patience import PATIENCE_SECONDS, Patience
from search.study.records import (
    EXHAUSTED,
    STOPPED,
    STOPPED_EARLY,
    Asked,
    Outcome,
    State,
    StudyView,
    TrialView,
)
from search.study.rows import LAST, ending, final_value, plain
from search.study.storage import storage_faults
from search.study.transactions import closed, together

_OPTUNA = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}


LOCK_TRY_SECONDS = 2.0
"""How long one try of a call waits for another process's write to a SQLite file."""


class Recorder:
    """The record of one study. Nothing else writes to it while this is open.

    Args:
        storage: An Optuna storage that holds the study.
        spec: The study, narrowed to its backbones.
        url: Of the storage, for messages.
        patience: Seconds that the database may be away during a call.
    """

    def __init__(
        self,
        storage: BaseStorage,
        spec: StudySpec,
        *,
        url: str = "memory:",
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.spec = spec
        self._storage = storage
        self._url = url
        self._id = storage.get_study_id_from_name(spec.name)
        self._began: dict[int, float] = {}
        """When each trial that was handed out began."""
        self._lock = threading.RLock()
        self._unsure = False
        self._patience = Patience(patience)
        with storage_faults(self._url):
            self._known = Known(storage, self._id, spec)

    # Asking -------------------------------------------------------------------

    def ask(self) -> Asked | None:
        """The next trial to run, RUNNING in the storage from now on.

        Trials that wait come first, each under its own number with its curve;
        then the points to be tried first; then what the sampler proposes.

        Returns:
            None when every point of the space was tried; the study says so then.
        """
        return self._patience.keep_trying(self._ask)

    def _ask(self) -> Asked | None:
        with self._writing():
            waiting = [view for view in self._known.views.values() if self._waits(view)]
            number = (
                go_on(self._storage, self._known, waiting[0], now=_now())
                if waiting
                else begin(self._storage, self._id, self.spec, self._known, now=_now())
            )
            if number is None:
                self._storage.set_study_user_attr(self._id, EXHAUSTED, True)
        if number is None:
            self._known.attributes[EXHAUSTED] = True
            return None
        view = self._refresh(number)
        self._began[number] = time.monotonic()
        return Asked(
            number=number,
            point=view.params,
            curve=view.curve,
            stopped=str(view.attributes.get(STOPPED, "")),
            stopped_early=str(view.attributes.get(STOPPED_EARLY, "")),
        )

    def _waits(self, view: TrialView) -> bool:
        """Whether a trial can be asked for: one, too, that an earlier try of
        :meth:`ask` committed and never handed out, since the connection was lost."""
        lost = view.state is State.RUNNING and view.number not in self._began
        return lost or view.state is State.WAITING

    @property
    def default_number(self) -> int | None:
        """Number of the trial at default settings, once it was asked for."""
        firsts = {
            view.attributes.get("first"): number for number, view in self._known.views.items()
        }
        return firsts.get(0) if self.spec.default_first else None

    # Reporting ----------------------------------------------------------------

    def report(self, number: int, epoch: int, value: float, attributes: Mapping[str, Any]) -> None:
        """Record an epoch of a running trial; an epoch that is there stays.

        Args:
            number: Of the trial.
            epoch: 1-based.
            value: The objective; finite.
            attributes: Kept of the last epoch alone; JSON values.

        Raises:
            ValueError: If ``value`` is not finite, or the trial does not run.
        """
        if not math.isfinite(value):
            raise ValueError(f"a reported value must be finite, got {value=} at {epoch=}")
        self._patience.keep_trying(lambda: self._report(number, epoch, value, attributes))

    def _report(self, number: int, epoch: int, value: float, attributes: Mapping[str, Any]) -> None:
        with self._writing():
            view = self._known.views[number]
            if epoch in view.curve:
                return
            if view.state is not State.RUNNING:
                raise ValueError(f"trial {number} is {view.state.name}, so it cannot report")
            trial = self._known.ids[number]
            self._storage.set_trial_intermediate_value(trial, epoch, value)
            if epoch > max(view.curve, default=0):
                self._storage.set_trial_user_attr(trial, LAST, plain(attributes))
        self._refresh(number)

    def settle(self, number: int, outcome: Outcome, *, files: Sequence[str] = ()) -> None:
        """End a trial: COMPLETE with its best value, PRUNED, or FAIL with a reason.

        Args:
            number: Of the trial.
            outcome: How it ends.
            files: What lies in its folder of artifacts, of ``artifacts.NAMES``.

        Raises:
            ValueError: If it is settled otherwise already, waits, or is complete
                without a value.
        """
        self._patience.keep_trying(lambda: self._settle(number, outcome, files))

    def _settle(self, number: int, outcome: Outcome, files: Sequence[str]) -> None:
        with self._writing():
            view = self._known.views[number]
            state = _OPTUNA[outcome.state]
            if view.state.settled:
                if view.state is not outcome.state:
                    raise ValueError(f"trial {number} is settled as {view.state.name} already")
                return
            if view.state is State.WAITING:
                raise ValueError(f"trial {number} waits, so it cannot be settled")
            if outcome.state is State.COMPLETE and view.best_value is None:
                raise ValueError(f"trial {number} cannot be complete without a value")
            value = final_value(view, outcome.state)
            trial = self._known.ids[number]
            for name, part in ending(
                view, outcome, seconds=self._seconds(view), now=_now()
            ).items():
                self._storage.set_trial_user_attr(trial, name, plain(part))
            for name, text in described(self.spec.name, number, files).items():
                self._storage.set_trial_system_attr(trial, name, text)
            self._storage.set_trial_state_values(trial, state, None if value is None else [value])
        self._began.pop(number, None)
        self._refresh(number)
        self._known.proposer.settle(number, state, value, view.curve)

    def interrupt(self, number: int) -> None:
        """Set a running trial back to waiting, with its params and its curve."""
        self._patience.keep_trying(lambda: self._interrupt(number))

    def _interrupt(self, number: int) -> None:
        with self._writing():
            view = self._known.views[number]
            if view.state is not State.RUNNING:
                return
            trial = self._known.ids[number]
            self._storage.set_trial_user_attr(trial, "seconds", self._seconds(view))
            self._storage.set_trial_state_values(trial, TrialState.WAITING)
        self._began.pop(number, None)
        self._refresh(number)

    def recover(self) -> tuple[int, ...]:
        """Set the trials that a dead driver left running back to waiting.

        Returns:
            Their numbers.
        """
        left = tuple(n for n, view in self._known.views.items() if view.state is State.RUNNING)
        for number in left:
            self.interrupt(number)
        return left

    # The study ------------------------------------------------------------------

    def add_seconds(self, seconds: float) -> None:
        """Add wall time to the study's."""
        self.set_result("seconds", float(self._known.attributes.get("seconds", 0.0)) + seconds)

    def set_result(self, name: str, value: Any) -> None:
        """Keep a JSON value with the study."""

        def keep() -> None:
            with self._writing():
                self._storage.set_study_user_attr(self._id, name, plain(value))
            self._known.attributes[name] = plain(value)

        self._patience.keep_trying(keep)

    def view(self) -> StudyView:
        """The study now: what is committed, nothing else."""
        with self._lock:
            return StudyView(
                name=self.spec.name,
                objective=self.spec.objective,
                direction=self.spec.direction,
                trials=tuple(self._known.views.values()),
                attributes=dict(self._known.attributes),
            )

    def announce(self, say: Callable[[str], None]) -> None:
        """Tell ``say`` from now on when the storage is away, and when it is back."""
        self._patience.announce(say)

    def hurry(self) -> None:
        """Wait no longer for a storage that is away: the run is to end."""
        self._patience.hurry()

    def close(self) -> None:
        """Let go of the storage; a SQLite file is then one file again."""
        with self._lock:
            closed(self._storage)

    # ------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; when it fails, what is there is read again."""
        with self._lock, storage_faults(self._url):
            if self._unsure:
                self._known = Known(self._storage, self._id, self.spec)
                self._unsure = False
            try:
                with together(self._storage, lock_seconds=LOCK_TRY_SECONDS):
                    yield
            except BaseException:
                self._unsure = True
                raise

    def _refresh(self, number: int) -> TrialView:
        """Read back what was committed of a trial."""
        with self._lock, storage_faults(self._url):
            self._unsure = True
            view = self._known.read_again(number)
            self._unsure = False
            return view

    def _seconds(self, view: TrialView) -> float:
        """Wall time of a trial over all runs."""
        now = time.monotonic()
        here = now - self._began.get(view.number, now)
        return round(float(view.attributes.get("seconds", 0.0)) + here, 3)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
