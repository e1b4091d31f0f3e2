"""What Prometheus is told of a study, and that every dashboard asks for what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import ray

from search.study.patience import AWAY
from search.study.records import FailReason, Outcome, State, StudyView, TrialView
from search.tuning.events import EpochDone, Event, Note, TrialSettled, TrialStarted, TrialWaits
from search.tuning.exported import METRICS, Figures

DASHBOARDS = Path(__file__).parents[3] / "dashboards"
RAYS = {
    "ray_node_cpu_utilization",
    "ray_node_disk_free",
    "ray_node_gpus_utilization",
    "ray_node_gram_used",
    "ray_node_mem_total",
    "ray_node_mem_used",
}
"""Names of Ray's own that the dashboard uses."""


def trial(number: int, state: State, value: float | None = None) -> TrialView:
    return TrialView(
        number=number,
        state=state,
        params={},
        curve={} if value is None else {1: value},
        best_value=value,
        best_epoch=None if value is None else 1,
        reason=None,
        why="",
        started=datetime.now(UTC),
        ended=None,
        attributes={},
    )


def view(direction: str, *trials: TrialView) -> StudyView:
    return StudyView(
        name="tiny", objective="accuracy", direction=direction, trials=trials, attributes={}
    )


def told(figures: Figures, events: Iterable[Event]) -> dict[tuple[str, str], float]:
    """What Prometheus shows in the end: the last value of gauges, the sum of counters."""
    shown: dict[tuple[str, str], float] = {}
    changes = [*figures.at_start(), *(each for event in events for each in figures.after(event))]
    for metric, tags, value in changes:
        assert tuple(tags) == metric.tags
        key = (metric.name, ",".join(tags.values()))
        shown[key] = value + (shown.get(key, 0.0) if metric.kind == "counter" else 0.0)
    return shown


def epoch(number: int, value: float, speed: float) -> EpochDone:
    return EpochDone(
        number=number, epoch=1, value=value, keeps=True, why="", images_per_second=speed
    )


def settled(number: int, state: State, reason: FailReason | None = None) -> TrialSettled:
    return TrialSettled(
        number=number,
        outcome=Outcome(state=state, reason=reason, why=""),
        best_value=None,
        best_epoch=None,
        epochs=1,
        seconds=1.0,
    )


def test_the_figures_follow_what_happens() -> None:
    before = view("maximize", trial(0, State.COMPLETE, 0.5), trial(1, State.WAITING))
    shown = told(
        Figures(before),
        [
            TrialStarted(number=1, point={}),
            TrialStarted(number=2, point={}),
            TrialStarted(number=3, point={}),
            epoch(1, 0.7, 100.0),
            epoch(2, 0.6, 50.0),
            epoch(3, 0.4, 25.0),
            Note(text=f"{AWAY} 2 s, trying again: the database does not answer"),
            Note(text="something else"),
            settled(1, State.PRUNED),
            settled(2, State.FAILED, FailReason.DIVERGED),
            TrialWaits(number=3, epochs=1),
            TrialStarted(number=4, point={}),
        ],
    )
    assert shown == {
        ("search_trials", "waiting"): 1,
        ("search_trials", "running"): 1,
        ("search_trials", "complete"): 1,
        ("search_trials", "pruned"): 1,
        ("search_trials", "failed"): 1,
        ("search_best_value", "accuracy"): 0.7,
        ("search_images_per_second", ""): 0.0,
        ("search_epochs_total", ""): 3,
        ("search_failures_total", "diverged"): 1,
        ("search_storage_retries_total", ""): 1,
    }


@pytest.mark.parametrize(("direction", "best"), [("maximize", 0.9), ("minimize", 0.1)])
def test_the_best_is_that_of_the_direction(direction: str, best: float) -> None:
    figures = Figures(view(direction, trial(0, State.PRUNED, 0.5)))
    shown = told(figures, [epoch(1, 0.9, 1.0), epoch(2, 0.1, 1.0)])
    assert shown["search_best_value", "accuracy"] == best
    assert shown["search_images_per_second", ""] == 2.0


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bray_[a-z_]+\b", text))


def test_every_metric_of_the_grafana_dashboard_is_exported() -> None:
    document = json.loads((DASHBOARDS / "grafana.json").read_text())
    asked = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    asked += [
        each["query"]["query"] for each in document["templating"]["list"] if "definition" in each
    ]
    assert len(asked) == 13
    ours = {f"ray_{metric.name}" for metric in METRICS}
    assert names_in(" ".join(asked)) == ours | RAYS
    # a name that tells the study or the state is a tag of that metric
    tags = {f"ray_{metric.name}": {"study", *metric.tags} for metric in METRICS}
    for expression in asked:
        for name in names_in(expression) & ours:
            grouped = re.search(r"by \(([^)]*)\)", expression)
            wanted = set(grouped[1].split(", ")) if grouped else {"study"}
            assert wanted <= tags[name], expression


def test_counters_are_asked_for_as_counters() -> None:
    text = (DASHBOARDS / "grafana.json").read_text()
    for metric in METRICS:
        counted = re.search(rf"(rate|increase)\(ray_{metric.name}\b", text) is not None
        assert counted is (metric.kind == "counter")
        assert metric.name.endswith("_total") is (metric.kind == "counter")


def test_rays_own_names_are_those_of_the_installed_ray() -> None:
    agent = Path(ray.__file__).parent / "dashboard/modules/reporter/reporter_agent.py"
    declared = set(re.findall(r'^    "([a-z_]+)": Gauge\(', agent.read_text(), re.M))
    assert len(declared) > 20
    assert {name.removeprefix("ray_") for name in RAYS} <= declared


def test_the_readme_lists_every_metric() -> None:
    listed = re.findall(
        r"^\| `(ray_search_\w+)` \| (\w+); ([\w, ]+) \|",
        (DASHBOARDS / "README.md").read_text(),
        re.M,
    )
    assert listed == [
        (f"ray_{each.name}", each.kind, ", ".join(("study", *each.tags))) for each in METRICS
    ]
