"""A trial leaves the run: it is counted at once, recorded behind it, then said."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from search.space.settings import Value
from search.space.spec import StudySpec
from search.study.behind import Behind
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
    """Counts what became of trials, and has it recorded and said.

    Args:
        spec: The study.
        recorder: Its record.
        behind: Writes it.
        listener: Told of everything once it is committed, by the thread that writes.
        on_settled: Called there, too, with the study after a trial was settled.
        files: Called there, too, with a trial's number before it is settled: makes what
            there is to see of it, and names the files.
    """

    def __init__(
        self,
        *,
        spec: StudySpec,
        recorder: Recorder,
        behind: Behind,
        listener: Listener,
        on_settled: Callable[[StudyView], None],
        files: Callable[[int], Sequence[str]],
    ) -> None:
        self._recorder = recorder
        self._behind = behind
        self._listener = listener
        self._on_settled = on_settled
        self._files = files
        self._trials = spec.budget.trials
        self._sign = 1.0 if spec.direction == "maximize" else -1.0
        self.tally = Tally(spec.budget, recorder.view())

    def settle(self, live: Live, outcome: Outcome, *, running: int) -> None:
        """End a trial.

        Args:
            live: The trial.
            outcome: How it ended.
            running: Trials that run beside it.
        """
        best = max(live.curve, key=lambda epoch: self._sign * live.curve[epoch], default=None)
        value = None if best is None else live.curve[best]
        self.tally.settle(live.number, outcome.state, value)
        settled = TrialSettled(
            number=live.number,
            outcome=outcome,
            best_value=value,
            best_epoch=best,
            epochs=live.epochs,
            seconds=time.monotonic() - live.since,
        )
        progress = Progress(
            settled=self.tally.settled,
            running=running,
            budget_trials=self._trials,
            seconds=self.tally.seconds,
            seconds_left=self.tally.seconds_left,
        )
        self._behind.put(partial(self._record, live.number, outcome))
        self.save_seconds()
        self._behind.put(
            partial(self._listener, settled),
            lambda: self._on_settled(self._recorder.view()),
            partial(self._listener, progress),
        )

    def _record(self, number: int, outcome: Outcome) -> None:
        self._recorder.settle(number, outcome, files=self._files(number))

    def put_back(self, number: int, epochs: int) -> None:
        """Set a trial back to waiting, with the ``epochs`` that it has reported."""
        self._behind.put(
            partial(self._recorder.interrupt, number),
            partial(self._listener, TrialWaits(number=number, epochs=epochs)),
        )

    def save_seconds(self) -> None:
        """Add the wall time since the last call to the study's."""
        seconds = self.tally.seconds_unsaved
        self._behind.put(partial(self._recorder.add_seconds, seconds))
        self.tally.saved(seconds)
