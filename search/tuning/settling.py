"""A trial has left the run: it is counted, then said."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from search.space.settings import Value
from search.space.spec import StudySpec
from search.study.records import Outcome, StudyView
from search.tuning.endings import Death
from search.tuning.events import Listener, Progress, TrialSettled, TrialWaits
from search.tuning.seams import Recorder
from search.tuning.tally import Tally


@dataclass(slots=True)
class Live:
    """A trial that Ray has now."""

    number: int
    point: Mapping[str, Value]
    curve: dict[int, float]
    since: float = field(default_factory=time.monotonic)
    deaths: list[Death] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Reported so far, in all runs."""
        return max(self.curve, default=0)


class Settling:
    """Counts and says what became of trials.

    Args:
        spec: The study.
        recorder: Its record.
        listener: Told of everything that was committed.
        on_settled: Called with the study after a trial was settled.
    """

    def __init__(
        self,
        *,
        spec: StudySpec,
        recorder: Recorder,
        listener: Listener,
        on_settled: Callable[[StudyView], None],
    ) -> None:
        self._recorder = recorder
        self._listener = listener
        self._on_settled = on_settled
        self._trials = spec.budget.trials
        self._sign = 1.0 if spec.direction == "maximize" else -1.0
        self.tally = Tally(spec.budget, recorder.view())

    def settled(self, live: Live, outcome: Outcome, *, running: int) -> None:
        """A trial was settled in the record.

        Args:
            live: The trial.
            outcome: How it ended.
            running: Trials that run beside it.
        """
        seconds = time.monotonic() - live.since
        self.tally.settle(live.number, outcome.state)
        self.save_seconds()
        best = max(live.curve, key=lambda epoch: self._sign * live.curve[epoch], default=None)
        self._listener(
            TrialSettled(
                number=live.number,
                outcome=outcome,
                best_value=None if best is None else live.curve[best],
                best_epoch=best,
                epochs=live.epochs,
                seconds=seconds,
            )
        )
        self._on_settled(self._recorder.view())
        self._listener(
            Progress(
                settled=self.tally.settled,
                running=running,
                budget_trials=self._trials,
                seconds=self.tally.seconds,
                seconds_left=self.tally.seconds_left,
            )
        )

    def put_back(self, live: Live) -> None:
        """Set a trial back to waiting."""
        self._recorder.interrupt(live.number)
        self._listener(TrialWaits(number=live.number, epochs=live.epochs))

    def save_seconds(self) -> None:
        """Add the wall time since the last call to the study's."""
        seconds = self.tally.seconds_unsaved
        self._recorder.add_seconds(seconds)
        self.tally.saved(seconds)
