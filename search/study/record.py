"""The one writer of a study: ask, report, settle.

What a call recorded before it returned stays, whatever happens to the process.
Each call is one transaction: a crash leaves it whole or not at all, so no trial
is ever half sampled or half settled. Every call can be repeated: reporting an
epoch or settling a trial again changes nothing. The study is opened (made, or
found and checked) in ``opening.py``.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.problems import Exit, fail
from search.space.spec import StudySpec
from search.study.records import STOPPED, Asked, Outcome, State, StudyView, TrialView
from search.study.rows import LAST, ending, final_value, plain, trial_view
from search.study.samplers import Drawn, Key, Proposer, key
from search.study.storage import storage_faults
from search.study.transactions import closed, together

_OPTUNA = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}


class Recorder:
    """The record of one study. Nothing else writes to it while this is open.

    Args:
        storage: An Optuna storage that holds the study.
        spec: The study, narrowed to its backbones.
        url: Of the storage, for messages.
    """

    def __init__(self, storage: BaseStorage, spec: StudySpec, *, url: str = "memory:") -> None:
        self.spec = spec
        self.made = False
        """Whether this opening made the study (set by ``opening``)."""
        self._storage = storage
        self._url = url
        self._id = storage.get_study_id_from_name(spec.name)
        self._maximize = spec.direction == "maximize"
        self._began: dict[int, float] = {}
        self._lock = threading.RLock()
        self._unsure = False
        with self._lock, storage_faults(self._url):
            self._load()

    # Asking -------------------------------------------------------------------

    def ask(self) -> Asked | None:
        """The next trial to run, RUNNING in the storage from now on.

        Trials that wait come first, each under its own number with its curve;
        then the points to be tried first; then what the sampler proposes.

        Returns:
            None when every point of the space was tried.
        """
        with self._writing():
            waiting = [view for view in self._views.values() if view.state is State.WAITING]
            number = self._go_on(waiting[0]) if waiting else self._create()
        if number is None:
            return None
        view = self._refresh(number)
        self._began[number] = time.monotonic()
        return Asked(
            number=number,
            point=view.params,
            curve=view.curve,
            stopped=str(view.attributes.get(STOPPED, "")),
        )

    @property
    def default_number(self) -> int | None:
        """Number of the trial at default settings, once it was asked for."""
        firsts = {view.attributes.get("first"): number for number, view in self._views.items()}
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
        with self._writing():
            view = self._views[number]
            if epoch in view.curve:
                return
            if view.state is not State.RUNNING:
                raise ValueError(f"trial {number} is {view.state.name}, so it cannot report")
            trial = self._ids[number]
            self._storage.set_trial_intermediate_value(trial, epoch, value)
            if epoch > max(view.curve, default=0):
                self._storage.set_trial_user_attr(trial, LAST, plain(attributes))
        self._refresh(number)

    def settle(self, number: int, outcome: Outcome) -> None:
        """End a trial: COMPLETE with its best value, PRUNED, or FAIL with a reason.

        Raises:
            ValueError: If it is settled otherwise already, waits, or is complete
                without a value.
        """
        with self._writing():
            view = self._views[number]
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
            trial = self._ids[number]
            for name, part in ending(
                view, outcome, seconds=self._seconds(view), now=_now()
            ).items():
                self._storage.set_trial_user_attr(trial, name, plain(part))
            self._storage.set_trial_state_values(trial, state, None if value is None else [value])
        self._began.pop(number, None)
        self._refresh(number)
        self._proposer.settle(number, state, value, view.curve)

    def interrupt(self, number: int) -> None:
        """Set a running trial back to waiting, with its params and its curve."""
        with self._writing():
            view = self._views[number]
            if view.state is not State.RUNNING:
                return
            trial = self._ids[number]
            self._storage.set_trial_user_attr(trial, "seconds", self._seconds(view))
            self._storage.set_trial_state_values(trial, TrialState.WAITING)
        self._began.pop(number, None)
        self._refresh(number)

    def recover(self) -> tuple[int, ...]:
        """Set the trials that a dead driver left running back to waiting.

        Returns:
            Their numbers.
        """
        left = tuple(n for n, view in self._views.items() if view.state is State.RUNNING)
        for number in left:
            self.interrupt(number)
        return left

    # The study ------------------------------------------------------------------

    def add_seconds(self, seconds: float) -> None:
        """Add wall time to the study's."""
        self.set_result("seconds", float(self._attributes.get("seconds", 0.0)) + seconds)

    def set_result(self, name: str, value: Any) -> None:
        """Keep a JSON value with the study."""
        with self._writing():
            self._storage.set_study_user_attr(self._id, name, plain(value))
        self._attributes[name] = plain(value)

    def view(self) -> StudyView:
        """The study now: what is committed, nothing else."""
        with self._lock:
            return StudyView(
                name=self.spec.name,
                objective=self.spec.objective,
                direction=self.spec.direction,
                trials=tuple(self._views.values()),
                attributes=dict(self._attributes),
            )

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
                self._load()
            try:
                with together(self._storage):
                    yield
            except BaseException:
                self._unsure = True
                raise

    def _load(self) -> None:
        self._attributes = dict(self._storage.get_study_user_attrs(self._id))
        self._ids: dict[int, int] = {}
        self._views: dict[int, TrialView] = {}
        self._proposer = Proposer(self.spec)
        trials = self._storage.get_all_trials(self._id, deepcopy=False)
        for trial in sorted(trials, key=lambda each: each.number):
            self._ids[trial.number] = trial._trial_id
            view = self._views[trial.number] = self._view(trial)
            if view.params:
                self._proposer.remember(trial.number, trial.params, trial.distributions)
                if view.state.settled:
                    self._proposer.settle(trial.number, trial.state, trial.value, view.curve)
        self._unsure = False

    def _refresh(self, number: int) -> TrialView:
        """Read back what was committed of a trial."""
        with self._lock, storage_faults(self._url):
            self._unsure = True
            view = self._views[number] = self._view(self._storage.get_trial(self._ids[number]))
            self._unsure = False
            return view

    def _view(self, trial: FrozenTrial) -> TrialView:
        return trial_view(
            trial.number,
            trial.state.name,
            trial.user_attrs,
            trial.intermediate_values,
            maximize=self._maximize,
        )

    def _create(self) -> int | None:
        number = len(self._views)
        attributes: dict[str, Any] = {"started": _now()}
        used = {view.attributes.get("first") for view in self._views.values()}
        firsts = [index for index in range(len(self.spec.first)) if index not in used]
        if firsts:
            attributes["first"] = firsts[0]
            drawn: Drawn | None = self._proposer.at(dict(self.spec.first[firsts[0]]))
        else:
            drawn = self._proposer.propose(number, self._tried())
        if drawn is None:
            return None
        trial = self._storage.create_new_trial(
            self._id,
            create_trial(
                state=TrialState.RUNNING,
                params=dict(drawn.params),
                distributions=dict(drawn.distributions),
                user_attrs={"point": dict(drawn.point), **attributes},
            ),
        )
        if self._storage.get_trial_number_from_id(trial) != number:
            raise fail(
                f"another process adds trials to study {self.spec.name}",
                fix="end it, then run the same command again",
                status=Exit.CONFLICT,
            )
        self._ids[number] = trial
        self._proposer.remember(number, drawn.params, drawn.distributions)
        return number

    def _go_on(self, view: TrialView) -> int:
        """Run a waiting trial, one without a point (another program's) too."""
        number, trial = view.number, self._ids[view.number]
        if not view.params:
            given = dict(self._storage.get_trial(trial).params)
            drawn = self._proposer.propose(number, self._tried(), given)
            if drawn is None:
                raise ValueError(f"trial {number} waits without a point, and none is left")
            for name, distribution in drawn.distributions.items():
                if name not in given:
                    stored = distribution.to_internal_repr(drawn.params[name])
                    self._storage.set_trial_param(trial, name, stored, distribution)
            self._storage.set_trial_user_attr(trial, "point", dict(drawn.point))
            self._storage.set_trial_user_attr(trial, "started", _now())
            self._proposer.remember(number, drawn.params, drawn.distributions)
        self._storage.set_trial_state_values(trial, TrialState.RUNNING)
        return number

    def _tried(self) -> set[Key]:
        return {key(view.params) for view in self._views.values() if view.params}

    def _seconds(self, view: TrialView) -> float:
        """Wall time of a trial over all runs."""
        now = time.monotonic()
        here = now - self._began.get(view.number, now)
        return round(float(view.attributes.get("seconds", 0.0)) + here, 3)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
