"""What a run has used of its study's budget: trials, failures and wall time.

Counts all runs of the study; decides nothing but whether a limit is reached.
"""

from __future__ import annotations

import time

from search.space.spec import Budget
from search.study.records import State, StudyView
from search.study.streak import streak_of

FAILURES_IN_A_ROW = 5
"""A study whose first settled trials all failed is stopped after this many."""


class Tally:
    """The counts of a study, from this run's start on.

    Args:
        budget: The study's limits.
        view: The study as this run found it.
    """

    def __init__(self, budget: Budget, view: StudyView) -> None:
        self._budget = budget
        self._began = time.monotonic()
        self._earlier_seconds = float(view.attributes.get("seconds", 0.0))
        self._seconds_handed_on = 0.0
        self._settled = {trial.number for trial in view.trials if trial.state.settled}
        self._failed = sum(trial.state is State.FAILED for trial in view.trials)
        self._settled_here = 0
        self._streak = streak_of(view)
        self.too_many_failures = False

    def settle(self, number: int, state: State, value: float | None) -> None:
        """A trial was settled, with its best value."""
        self._settled.add(number)
        self._streak.settle(state, value)
        self._settled_here += 1
        self._failed += state is State.FAILED
        if self._failed == len(self._settled) >= FAILURES_IN_A_ROW:
            self.too_many_failures = True

    @property
    def settled(self) -> int:
        """Trials settled in all runs."""
        return len(self._settled)

    def has_room(self, live: int) -> bool:
        """Whether another trial may start beside ``live`` ones."""
        if self.no_better:
            return False
        return self._budget.trials is None or self.settled + live < self._budget.trials

    @property
    def seconds(self) -> float:
        """Wall time of the study, this run included."""
        return self._earlier_seconds + self._here

    @property
    def out_of_time(self) -> bool:
        """Whether the study's wall time is used up."""
        minutes = self._budget.minutes
        return minutes is not None and self.seconds >= minutes * 60

    @property
    def no_better(self) -> bool:
        """Whether as many trials as the budget says settled without a better one.
        One that still runs may be better, and then it is no longer so."""
        limit = self._budget.stop_after
        return limit is not None and self._streak.length >= limit

    def spent(self, live: int) -> bool:
        """Whether no trial may be started any more, whatever comes of ``live`` ones."""
        settled = self._budget.trials is not None and self.settled >= self._budget.trials
        no_better = self.no_better and not live
        return self.too_many_failures or self.out_of_time or settled or no_better

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the trials settled in this run; None before two."""
        if self._settled_here < 2:
            return None
        limits = []
        if self._budget.trials is not None:
            pace = self._here / self._settled_here
            limits.append(pace * max(0, self._budget.trials - self.settled))
        if self._budget.minutes is not None:
            limits.append(max(0.0, self._budget.minutes * 60 - self.seconds))
        return min(limits) if limits else None

    @property
    def seconds_unsaved(self) -> float:
        """Wall time that is not in the record yet."""
        return self._here - self._seconds_handed_on

    def saved(self, seconds: float) -> None:
        """``seconds`` more of the wall time are in the record."""
        self._seconds_handed_on += seconds

    @property
    def _here(self) -> float:
        return time.monotonic() - self._began
