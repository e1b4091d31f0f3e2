"""A run without Ray: the real conductor, recorder and ASHA."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import optuna

from search.space.domains import Branch, FloatRange, Param, Space
from search.space.spec import Budget, DataSpec, Epochs, SamplerSpec, StudySpec
from search.study.opening import StudyFacts, open_in
from search.study.record import Recorder
from search.study.records import FailReason, Outcome, State, StudyView
from search.tuning.asha import Asha
from search.tuning.conductor import Conductor
from search.tuning.events import Event
from search.tuning.job import Told

FACTS = StudyFacts(
    fingerprint="f",
    counts={},
    classes=("a", "b"),
    backbones=("resnet18",),
    weights={},
    versions={},
)


def spec(
    *,
    trials: int | None = 4,
    minutes: float | None = None,
    stop_after: int | None = None,
    epochs: int = 3,
) -> StudySpec:
    domain = FloatRange(low=1e-3, high=1e-1, log=True)
    return StudySpec(
        name="s",
        data=DataSpec(path="images"),
        epochs=Epochs(min=1, max=epochs),
        space=Space(params=(Param(name="lr", branches=(Branch(domain=domain),)),)),
        sampler=SamplerSpec(name="random"),
        budget=Budget(trials=trials, minutes=minutes, stop_after=stop_after),
        default_first=False,
    )


@dataclass(frozen=True)
class RayTrial:
    trial_id: str


@dataclass
class Run:
    """A conductor with its recorder, and what it said."""

    spec: StudySpec
    storage: optuna.storages.InMemoryStorage = field(
        default_factory=optuna.storages.InMemoryStorage
    )
    concurrency: int = 2
    events: list[Event] = field(default_factory=list)
    also: Callable[[Event], None] = lambda event: None
    recorder: Recorder = field(init=False)
    conductor: Conductor = field(init=False)
    asha: Asha = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = open_in(self.storage, self.spec, FACTS)
        self.conductor = Conductor(
            spec=self.spec,
            recorder=self.recorder,
            listener=self.hear,
            concurrency=self.concurrency,
            on_settled=lambda view: None,
        )
        self.asha = Asha(
            metric="value",
            objective="balanced_accuracy",
            maximize=True,
            min_epochs=self.spec.epochs.min,
            max_epochs=self.spec.epochs.max,
            reduction_factor=3,
            on_report=self.conductor.on_report,
            on_death=self.conductor.worker_died,
        )
        self.conductor.recall(self.asha)

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self.also(event)

    def ask(self, ray_id: str) -> int | None:
        asked = self.conductor.next(ray_id, self.asha)
        if asked is None:
            return None
        self.asha.on_trial_add(None, RayTrial(ray_id))
        return asked.number

    def report(self, ray_id: str, epoch: int, value: float) -> str:
        told = Told(attributes={"metrics": {}})
        result = {"epoch": epoch, "value": value, "told": told}
        return self._committed(self.asha.on_trial_result(None, RayTrial(ray_id), result))

    def fail(self, ray_id: str, reason: FailReason = FailReason.ERROR) -> str:
        told = Told(
            attributes={}, failure=Outcome(state=State.FAILED, reason=reason, why="it broke")
        )
        result = {"value": math.nan, "told": told}
        return self._committed(self.asha.on_trial_result(None, RayTrial(ray_id), result))

    def _committed(self, answer: str) -> str:
        """The answer to a report, once the report is in the storage."""
        assert self.conductor.written(20)
        return answer

    def view(self) -> StudyView:
        self._committed("")
        return self.recorder.view()

    def said(self, kind: type[Event]) -> list[Event]:  # type: ignore[valid-type]
        self._committed("")
        return [event for event in self.events if isinstance(event, kind)]
