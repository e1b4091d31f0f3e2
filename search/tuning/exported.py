"""What a run tells Prometheus, beside what Ray tells it: the figures of one study.

Only on a joined cluster, through Ray's own metrics, so that no port is opened here: the
agents of the cluster serve them, with ``ray_`` before each name. They follow what is
committed. ``dashboards/grafana.json`` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from search.study.patience import AWAY
from search.study.records import State, StudyView
from search.tuning.events import (
    EpochDone,
    Event,
    Listener,
    Note,
    TrialSettled,
    TrialStarted,
    TrialWaits,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure with a name of its own."""

    name: str
    """As we give it to Ray; it is served as ``ray_<name>``."""
    kind: Literal["gauge", "counter"]
    what: str
    """With its unit."""
    tags: tuple[str, ...] = ()
    """Beside ``study``, which all have."""


TRIALS = Metric(name="search_trials", kind="gauge", what="Trials by state", tags=("state",))
BEST = Metric(
    name="search_best_value",
    kind="gauge",
    what="The best value of the objective on validation data so far",
    tags=("objective",),
)
SPEED = Metric(
    name="search_images_per_second",
    kind="gauge",
    what="Images per second that the running trials train on, together",
)
EPOCHS = Metric(name="search_epochs_total", kind="counter", what="Epochs committed by this run")
FAILURES = Metric(
    name="search_failures_total",
    kind="counter",
    what="Trials that failed in this run, by reason",
    tags=("reason",),
)
RETRIES = Metric(
    name="search_storage_retries_total",
    kind="counter",
    what="Calls to the study's storage that were made again",
)
METRICS = (TRIALS, BEST, SPEED, EPOCHS, FAILURES, RETRIES)

Change: TypeAlias = tuple[Metric, dict[str, str], float]
"""A metric, its tags, and its value; of a counter what is added."""


class Figures:
    """The figures of a study, from what it was and what happens. Pure.

    Args:
        view: The study as the run found it.
    """

    def __init__(self, view: StudyView) -> None:
        self._objective = view.objective
        self._better = max if view.direction == "maximize" else min
        self._states = {trial.number: trial.state for trial in view.trials}
        values = [trial.best_value for trial in view.trials if trial.best_value is not None]
        self._best = self._better(values) if values else None
        self._speeds: dict[int, float] = {}

    def at_start(self) -> Iterator[Change]:
        """Everything that is known before anything happens."""
        yield from self._trials()
        yield SPEED, {}, 0.0
        if self._best is not None:
            yield BEST, {"objective": self._objective}, self._best

    def after(self, event: Event) -> Iterator[Change]:
        """What an event changes."""
        if isinstance(event, TrialStarted):
            yield from self._moved(event.number, State.RUNNING)
        elif isinstance(event, TrialWaits):
            yield from self._moved(event.number, State.WAITING)
        elif isinstance(event, TrialSettled):
            yield from self._moved(event.number, event.outcome.state)
            if event.outcome.reason is not None:
                yield FAILURES, {"reason": event.outcome.reason.value}, 1.0
        elif isinstance(event, EpochDone):
            yield EPOCHS, {}, 1.0
            self._speeds[event.number] = event.images_per_second
            yield SPEED, {}, sum(self._speeds.values())
            values = [event.value] if self._best is None else [event.value, self._best]
            self._best = self._better(values)
            yield BEST, {"objective": self._objective}, self._best
        elif isinstance(event, Note) and event.text.startswith(AWAY):
            yield RETRIES, {}, 1.0

    def _moved(self, number: int, state: State) -> Iterator[Change]:
        self._states[number] = state
        yield from self._trials()
        if state is not State.RUNNING and self._speeds.pop(number, None) is not None:
            yield SPEED, {}, sum(self._speeds.values())

    def _trials(self) -> Iterator[Change]:
        states = list(self._states.values())
        for state in State:
            yield TRIALS, {"state": state.value}, float(states.count(state))


def exporting(listener: Listener, view: StudyView) -> Listener:
    """A listener that tells the cluster's metrics, then ``listener``.

    Args:
        listener: Told of every event.
        view: The study as the run found it.
    """
    from ray.util import metrics

    kinds: dict[str, Any] = {"gauge": metrics.Gauge, "counter": metrics.Counter}
    meters = {
        metric.name: kinds[metric.kind](
            metric.name, description=metric.what, tag_keys=("study", *metric.tags)
        )
        for metric in METRICS
    }
    figures = Figures(view)

    def tell(changes: Iterator[Change]) -> None:
        for metric, tags, value in changes:
            meter = meters[metric.name]
            record = meter.set if metric.kind == "gauge" else meter.inc
            record(value, tags={"study": view.name, **tags})

    def listen(event: Event) -> None:
        tell(figures.after(event))
        listener(event)

    tell(figures.at_start())
    return listen
