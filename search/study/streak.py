"""How many trials have settled since the study had a better one."""

from __future__ import annotations

from datetime import UTC, datetime

from search.study.records import State, StudyView

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Streak:
    """Settled trials in a row that did not become the study's best.

    Better means what it means for the winner: a COMPLETE trial is better than any
    PRUNED one, then the value counts. FAILED ones are never better.

    Args:
        maximize: Whether a higher value is better.
    """

    def __init__(self, *, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0
        self._best: tuple[bool, float] | None = None
        self.length = 0

    def settle(self, state: State, value: float | None) -> None:
        """The next trial settled, with its best value."""
        self.length += 1
        if value is None or state not in (State.COMPLETE, State.PRUNED):
            return
        rank = (state is State.COMPLETE, self._sign * value)
        if self._best is None or rank > self._best:
            self._best, self.length = rank, 0


def streak_of(view: StudyView) -> Streak:
    """The streak of a study, from its trials in the order in which they settled."""
    settled = [trial for trial in view.trials if trial.state.settled]
    settled.sort(key=lambda trial: (trial.ended or _LONG_AGO, trial.number))
    streak = Streak(maximize=view.direction == "maximize")
    for trial in settled:
        streak.settle(trial.state, trial.best_value)
    return streak
