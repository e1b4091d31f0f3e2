"""ASHA, told apart: Ray's rule, with its reason and its memory.

Ray's scheduler decides; this subclass says why, knows a trial stopped short
from one that reached the last epoch, and refills the rungs from the study's
curves when a study goes on (Ray forgets them with its process).

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning",
MLSys 2020. Deviations are Ray's: asynchronous and stop-only; a trial is
compared with the interpolated percentile of the *earlier* arrivals at its
rung, the first arrival always passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from search.space.figure import metric as shown
from search.tuning.deaths import death_of, failing
from search.tuning.endings import Death, Verdict

OnReport: TypeAlias = Callable[["Asha", Trial, dict[str, Any]], bool]
"""Told of every report; answers whether the trial goes on."""
OnDeath: TypeAlias = Callable[[str, Death], None]
"""Told the Ray id of a trial whose worker died, and what Ray says of it."""


class Asha(ASHAScheduler):
    """Ray's ASHA over the epochs of this study.

    Args:
        metric: Result key of the objective.
        objective: Its name.
        maximize: Whether larger is better.
        min_epochs: No trial is stopped before this epoch.
        max_epochs: Full training length.
        reduction_factor: Keep about the best 1/reduction_factor at each rung.
        stops: False never stops a trial short (``scheduler: none``).
        on_report: Called for every result of every trial, also the one that
            ends it; calls :meth:`judge` when the result has a value.
        on_death: Called when Ray lost a trial's worker and will start it again.
    """

    def __init__(
        self,
        *,
        metric: str,
        objective: str,
        maximize: bool,
        min_epochs: int,
        max_epochs: int,
        reduction_factor: int,
        stops: bool = True,
        on_report: OnReport,
        on_death: OnDeath,
    ) -> None:
        super().__init__(
            time_attr="epoch",
            metric=metric,
            mode="max" if maximize else "min",
            max_t=max_epochs,
            grace_period=min_epochs if stops else max_epochs,
            reduction_factor=reduction_factor,
        )
        self._objective = objective
        self._sign = 1.0 if maximize else -1.0
        self._controller: Any = None
        self._on_report = on_report
        self._on_death = on_death

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Ray's hook: every result passes here, whatever becomes of the trial."""
        self._controller = tune_controller
        return self.CONTINUE if self._on_report(self, trial, result) else self.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Ray's hook. Nothing to add: the last result was judged already."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Ray's hook: the trial's worker died."""
        self._on_death(trial.trial_id, death_of(failing(tune_controller)))

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Ray's hook: the trial never started."""

    def judge(self, trial: Trial, epoch: int, value: float) -> Verdict:
        """Ray's decision on a report, with its reason.

        Args:
            trial: Ray's trial, already added to this scheduler.
            epoch: 1-based.
            value: The objective at that epoch; not NaN (a diverged trial is
                settled before it gets here, since a NaN passes every rung).
        """
        rung = self._rung_of(trial.trial_id, epoch)
        result = {"epoch": epoch, self._metric: value}
        action = super().on_trial_result(self._controller, trial, result)
        if epoch >= self._max_t:
            return Verdict(keeps=False, finished=True, why=f"reached epoch {epoch}, the last")
        keeps = action != self.STOP
        if rung is None:
            return Verdict(keeps=keeps, finished=False, why="")
        number, cutoff, earlier = rung
        if cutoff is None:
            why = f"rung {number}: the first to arrive"
        else:
            worse, better = ("<", ">=") if self._sign > 0 else (">", "<=")
            why = (
                f"rung {number}: {shown(value, self._objective)} {better if keeps else worse} "
                f"{shown(self._sign * cutoff, self._objective)}, the cutoff of {earlier} earlier "
                f"trial{'' if earlier == 1 else 's'}"
            )
        return Verdict(keeps=keeps, finished=False, why=why)

    def remember(self, key: str, curve: Mapping[int, float]) -> None:
        """Put a curve of an earlier run into the rungs it has passed.

        Args:
            key: Ray's id of the trial, or any unique text for a settled one.
            curve: Objective by epoch.
        """
        for milestone, recorded in self._brackets[0]._rungs:
            value = curve.get(round(milestone))
            if value is not None:
                recorded[key] = self._sign * value

    def forget(self, key: str) -> None:
        """Take a remembered curve out again (it goes on under another key)."""
        for _, recorded in self._brackets[0]._rungs:
            recorded.pop(key, None)

    def _rung_of(self, trial_id: str, epoch: int) -> tuple[int, float | None, int] | None:
        """(number from 1, cutoff in Ray's sign, earlier arrivals) of the rung
        that Ray is about to compare at; None between rungs."""
        bracket = self._brackets[0]
        rungs = bracket._rungs  # highest first
        for index, (milestone, recorded) in enumerate(rungs):
            if epoch < milestone or trial_id in recorded:
                continue
            cutoff = float(cast(float, bracket.cutoff(recorded))) if recorded else None
            return len(rungs) - index, cutoff, len(recorded)
        return None
