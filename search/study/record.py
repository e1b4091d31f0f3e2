"""The one writer of a study: ask, report, settle.

What a call recorded before it returned stays, whatever happens to the process.
Every call can be repeated: reporting an epoch again or settling a trial again
changes nothing. The study is opened (made, or found and checked) in
``opening.py``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from search.space.domains import Domain, choose
from search.space.points import grid
from search.space.settings import Value
from search.space.spec import StudySpec
from search.study.records import Asked, Outcome, State, StudyView
from search.study.samplers import Seeded, stored_name, suggest
from search.study.views import best_epoch, read

_GRID_LIMIT = 100_000
"""Points of a grid that are ever looked at."""


class Recorder:
    """The record of one study. Nothing else writes to it while this is open.

    Args:
        storage: An Optuna storage that holds the study.
        spec: The study, narrowed to its backbones.
    """

    def __init__(self, storage: BaseStorage, spec: StudySpec) -> None:
        self.spec = spec
        self._storage = storage
        self._study = optuna.load_study(
            study_name=spec.name, storage=storage, sampler=Seeded(spec.sampler, spec.seed)
        )
        self._id = storage.get_study_id_from_name(spec.name)
        self._maximize = spec.direction == "maximize"
        self._began: dict[int, float] = {}

    # Asking -------------------------------------------------------------------

    def ask(self) -> Asked | None:
        """The next trial to run, RUNNING in the storage from now on.

        Trials that wait come first, each under its own number with its curve;
        then the points to be tried first; then what the sampler proposes.

        Returns:
            None when a grid has no point left.
        """
        trials = self._trials()
        if not any(trial.state == TrialState.WAITING for trial in trials):
            first = self._next_first(trials)
            if first is not None:
                self._enqueue(self.spec.first[first], {"first": first})
            elif self.spec.sampler.name == "grid" and not self._enqueue_grid(trials):
                return None
        trial = self._study.ask()
        frozen = self._storage.get_trial(trial._trial_id)
        point = frozen.user_attrs.get("point")
        if point is None:
            point = self._point(trial)
            trial.set_user_attr("point", point)
        if "started" not in frozen.user_attrs:
            trial.set_user_attr("started", datetime.now(UTC).isoformat(timespec="seconds"))
        self._began[trial.number] = time.monotonic()
        return Asked(
            number=trial.number, point=point, curve=dict(sorted(frozen.intermediate_values.items()))
        )

    @property
    def default_number(self) -> int | None:
        """Number of the trial at default settings, once it was asked for."""
        if not self.spec.default_first:
            return None
        return next(
            (trial.number for trial in self._trials() if trial.user_attrs.get("first") == 0), None
        )

    # Reporting ----------------------------------------------------------------

    def report(self, number: int, epoch: int, value: float, attributes: Mapping[str, Any]) -> None:
        """Record an epoch of a running trial; an epoch that is there stays.

        Args:
            number: Of the trial.
            epoch: 1-based.
            value: The objective; finite.
            attributes: Kept of the last epoch alone; JSON values.

        Raises:
            ValueError: If ``value`` is not finite, or the trial is settled.
        """
        if not math.isfinite(value):
            raise ValueError(f"a reported value must be finite, got {value=} at {epoch=}")
        trial = self._trial(number)
        if epoch in trial.intermediate_values:
            return
        if trial.state != TrialState.RUNNING:
            raise ValueError(f"trial {number} is {trial.state.name}, so it cannot report")
        self._storage.set_trial_user_attr(trial._trial_id, "last", dict(attributes))
        self._storage.set_trial_intermediate_value(trial._trial_id, epoch, value)

    def settle(self, number: int, outcome: Outcome) -> None:
        """End a trial: COMPLETE with its best value, PRUNED, or FAIL with a reason.

        Raises:
            ValueError: If it is settled otherwise already, or complete without
                a value.
        """
        trial = self._trial(number)
        if trial.state.is_finished():
            if _STATES[outcome.state] != trial.state:
                raise ValueError(f"trial {number} is settled as {trial.state.name} already")
            return
        best = best_epoch(trial.intermediate_values, maximize=self._maximize)
        if outcome.state is State.COMPLETE and best is None:
            raise ValueError(f"trial {number} cannot be complete without a value")
        self._keep_seconds(trial)
        attributes: dict[str, Any] = {
            "why": outcome.why,
            "epochs": max(trial.intermediate_values, default=0),
        }
        if best is not None:
            attributes |= {"best_value": trial.intermediate_values[best], "best_epoch": best}
        if outcome.reason is not None:
            attributes["reason"] = str(outcome.reason)
        if outcome.detail:
            attributes["detail"] = outcome.detail
        last = trial.user_attrs.get("last", {})
        for name in ("parameters_trained", "parameters_total", "peak_memory_mb", "host"):
            if name in last:
                attributes[name] = last[name]
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(trial._trial_id, name, value)
        self._study.tell(
            number,
            values=trial.intermediate_values[best]
            if outcome.state is State.COMPLETE and best is not None
            else None,
            state=_STATES[outcome.state],
        )

    def interrupt(self, number: int) -> None:
        """Set a running trial back to waiting, with its params and its curve."""
        trial = self._trial(number)
        if trial.state == TrialState.RUNNING:
            self._keep_seconds(trial)
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def recover(self) -> tuple[int, ...]:
        """Set the trials that a dead driver left running back to waiting.

        Returns:
            Their numbers.
        """
        left = [trial.number for trial in self._trials() if trial.state == TrialState.RUNNING]
        for number in left:
            self.interrupt(number)
        return tuple(left)

    # The study ------------------------------------------------------------------

    def add_seconds(self, seconds: float) -> None:
        """Add wall time to the study's."""
        before = float(self._storage.get_study_user_attrs(self._id).get("seconds", 0.0))
        self.set_result("seconds", before + seconds)

    def set_result(self, name: str, value: Any) -> None:
        """Keep a JSON value with the study."""
        self._storage.set_study_user_attr(self._id, name, value)

    def view(self) -> StudyView:
        """The study now."""
        return read(self._storage, self._id)

    # ------------------------------------------------------------------------------

    def _trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._id, deepcopy=False)

    def _trial(self, number: int) -> FrozenTrial:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        return self._storage.get_trial(trial_id)

    def _point(self, trial: optuna.trial.Trial) -> dict[str, Value]:
        space = self.spec.space

        def pick(name: str, domain: Domain) -> Value:
            return suggest(trial, space[name], domain)

        return choose(space, pick)

    def _next_first(self, trials: list[FrozenTrial]) -> int | None:
        """Index of the first point to be tried that no trial has."""
        used = {trial.user_attrs.get("first") for trial in trials}
        return next((index for index in range(len(self.spec.first)) if index not in used), None)

    def _enqueue(self, point: tuple[tuple[str, Value], ...], attributes: dict[str, Any]) -> None:
        """Have the next ``ask`` take this point."""
        given = dict(point)
        params: dict[str, Value] = {}

        def pick(name: str, domain: Domain) -> Value:
            params[stored_name(self.spec.space[name], domain)] = given[name]
            return given[name]

        choose(self.spec.space, pick)
        self._study.enqueue_trial(params, user_attrs=attributes)

    def _enqueue_grid(self, trials: list[FrozenTrial]) -> bool:
        """Have the next ``ask`` take the grid's next point; False without any."""
        used = {_key(trial.user_attrs.get("point", {})) for trial in trials}
        for point in grid(self.spec.space, _GRID_LIMIT):
            if _key(point) not in used:
                self._enqueue(tuple(point.items()), {})
                return True
        return False

    def _keep_seconds(self, trial: FrozenTrial) -> None:
        """Add the time since ``ask`` to the trial's seconds over all runs."""
        began = self._began.pop(trial.number, None)
        if began is not None:
            before = float(trial.user_attrs.get("seconds", 0.0))
            seconds = round(before + time.monotonic() - began, 3)
            self._storage.set_trial_user_attr(trial._trial_id, "seconds", seconds)


_STATES = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}


def _key(point: Mapping[str, Value]) -> tuple[tuple[str, str, Value], ...]:
    """A point as something that can be compared; 1 and True stay apart."""
    return tuple(sorted((name, type(value).__name__, value) for name, value in point.items()))
