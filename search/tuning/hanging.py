"""Ends trials that hang: their worker is killed, they fail, and the study goes on.

Tune has a limit for a trial's whole time at most, looked at only when it reports. Its
callbacks are called in its own thread, several times a second.
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from search.tuning.conductor import Conductor
from search.tuning.job import Told
from search.tuning.silence import Silence


class EndHanging(tune.Callback):
    """Tune's callback that looks after every trial's last sign of life.

    Args:
        conductor: Settles the trial.
        minutes_per_epoch: From one report to the next, at most; None derives a limit.
    """

    def __init__(self, conductor: Conductor, minutes_per_epoch: float | None) -> None:
        self._conductor = conductor
        self._silence = Silence(minutes_per_epoch)
        self._trials: dict[str, Trial] = {}

    def __getstate__(self) -> dict[str, object]:
        """Nothing of ours goes into Ray's files; see ``Conductor``."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Ray's hook: a worker is ready for the trial, its first one or another."""
        self._trials[trial.trial_id] = trial
        self._silence.starts(trial.trial_id, time.monotonic())

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Ray's hook: a report, which may have been the last one."""
        told: Told = result["told"]
        seconds = float(told.attributes.get("seconds", 0.0))
        epoch = int(result.get("epoch", 0))
        self._silence.reports(trial.trial_id, time.monotonic(), epoch, seconds)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Ray's hook: the trial was stopped."""
        self._forget(trial.trial_id)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Ray's hook: its worker died, once too often."""
        self._forget(trial.trial_id)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Ray's hook: its worker died, and it will get another."""
        self._forget(trial.trial_id)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Ray's hook, called all the time."""
        for ray_id, outcome in self._silence.overdue(time.monotonic()).items():
            trial = self._trials[ray_id]
            self._forget(ray_id)
            self._conductor.fails(ray_id, outcome)
            trial.max_failures = 0  # it is not started again
            actor = trial.temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)

    def _forget(self, ray_id: str) -> None:
        self._trials.pop(ray_id, None)
        self._silence.ends(ray_id)
