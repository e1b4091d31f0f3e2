"""What a recorder knows of its study: a copy of what is committed, nothing else."""

from __future__ import annotations

from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from search.space.spec import StudySpec
from search.study.records import TrialView
from search.study.rows import trial_view
from search.study.samplers import Key, Proposer, key


class Known:
    """A study, read whole.

    Args:
        storage: Holds it.
        study: Optuna's id of it.
        spec: The study.
    """

    def __init__(self, storage: BaseStorage, study: int, spec: StudySpec) -> None:
        self._storage = storage
        self._maximize = spec.direction == "maximize"
        self.attributes: dict[str, Any] = dict(storage.get_study_user_attrs(study))
        self.ids: dict[int, int] = {}
        """Optuna's id of a trial, by number."""
        self.views: dict[int, TrialView] = {}
        self.proposer = Proposer(spec)
        trials = storage.get_all_trials(study, deepcopy=False)
        for trial in sorted(trials, key=lambda each: each.number):
            self.ids[trial.number] = trial._trial_id
            view = self.views[trial.number] = self._view(trial)
            if view.params:
                self.proposer.remember(trial.number, trial.params, trial.distributions)
                if view.state.settled:
                    self.proposer.settle(trial.number, trial.state, trial.value, view.curve)

    def read_again(self, number: int) -> TrialView:
        """A trial as it is committed now."""
        view = self.views[number] = self._view(self._storage.get_trial(self.ids[number]))
        return view

    def tried(self) -> set[Key]:
        """The points of all trials."""
        return {key(view.params) for view in self.views.values() if view.params}

    def _view(self, trial: FrozenTrial) -> TrialView:
        return trial_view(
            trial.number,
            trial.state.name,
            trial.user_attrs,
            trial.intermediate_values,
            maximize=self._maximize,
        )
