"""Everything of a space file but ``space:`` and ``first:`` -> spec parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from search.problems import did_you_mean
from search.space.nodes import Entries, Node, Scalar, listed, quote
from search.space.places import read_path, read_path_or_url
from search.space.report import Report
from search.space.scalars import (
    Bounds,
    Fields,
    fields_of,
    is_null,
    number,
    one_of,
    plain,
    text,
    whole,
)
from search.space.spec import (
    ACTIVATION_TYPES,
    ALL_METRICS,
    METRICS_OF,
    TASKS,
    ActivationType,
    Budget,
    CacheSpec,
    CheckpointsSpec,
    DataSpec,
    Epochs,
    Metric,
    Resources,
    SamplerSpec,
    SchedulerSpec,
    SplitSpec,
    Task,
)

SOURCES = ("path", "manifest", "sample")
"""The keys of ``data`` of which exactly one is set."""
KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "budget": ("trials", "minutes", "stop_after"),
        "data": (*SOURCES, "task", "unit", "split", "max_images", "max_bad"),
        "resources": ("cpus_per_trial", "gpus_per_trial", "concurrency", "minutes_per_epoch"),
    }
)
"""The keys of sections that are likely to be written at the top instead."""
LABEL_FORMS: Mapping[Task, str] = MappingProxyType(
    {
        "multiclass": "label: a class",
        "multilabel": "label: classes with | between them, e.g. cat|dog",
        "regression": "label: a number",
    }
)
"""What a manifest's column ``label`` holds."""
SAMPLERS: tuple[Literal["tpe", "random", "grid"], ...] = ("tpe", "random", "grid")
SCHEDULERS: tuple[Literal["asha", "none"], ...] = ("asha", "none")


def read_objective(node: Node, report: Report, task: Task = "multiclass") -> Metric:
    """The metric, one of the task's."""
    own = METRICS_OF[task]
    if isinstance(node, Scalar) and node.raw not in ALL_METRICS:
        one_of(node, "objective", report, own)  # of the others only what was written is told
        return own[0]
    metric = one_of(node, "objective", report, ALL_METRICS)
    if metric is None or metric in own:
        return metric or own[0]
    others = [each for each in TASKS if metric in METRICS_OF[each]]
    report.error(
        node.place,
        f"objective: {metric} is a metric of {listed(others)}, data.task is {task}",
        f"one of {listed(own)}; or data: {{task: {others[0]}}}",
    )
    return own[0]


def read_data(
    node: Node | None, top: Entries, samples: Collection[str], report: Report
) -> DataSpec:
    """Where the images are; ``top`` is where a missing section is reported."""
    example = "data: {path: FOLDER}, {manifest: FILE.csv} or {sample: solar-cells}"
    if node is None:
        report.error(
            top.entries[0].key.place if top.entries else top.place,
            "no images are named",
            f"{example}; or --data FOLDER",
        )
        return DataSpec()
    known = KEYS["data"]
    fields = fields_of(node, "data", report, known, "{path: FOLDER}")
    if fields is None:
        return DataSpec()
    given = [
        entry
        for key in SOURCES
        if (entry := fields.entry(key)) is not None and not is_null(entry.value)
    ]
    given.sort(key=lambda entry: (entry.key.place.line, entry.key.place.column))
    misspelt = any(entry.name not in known for entry in fields.node.entries)
    if not given and not misspelt:
        report.error(fields.node.place, "data names no images", example)
    for entry in given[1:]:
        report.error(
            entry.key.place,
            f"data has {entry.name} beside {given[0].name}",
            f"keep one of {listed(SOURCES)}",
        )
    task: Task = fields.read_or_none("task", _task) or "multiclass"
    _check_task(task, fields, report)
    sample = fields.read_or_none("sample", text)
    if sample is not None and sample not in samples:
        entry = fields.entry("sample")
        assert entry is not None
        near = did_you_mean(sample, samples)
        report.error(
            entry.value.place,
            f"there is no sample {quote(sample)}",
            near or f"one of {listed(sorted(samples))}",
        )
    return DataSpec(
        path=fields.read_or_none("path", read_path_or_url),
        manifest=fields.read_or_none("manifest", read_path),
        sample=sample,
        split=fields.read("split", read_split, SplitSpec()),
        max_images=fields.read_or_none("max_images", at_least_one),
        max_bad=fields.read("max_bad", from_zero, 0),
        task=task,
        unit=fields.read_or_none("unit", text) or "",
    )


def _task(node: Node, what: str, report: Report) -> Task | None:
    return one_of(node, what, report, TASKS)


def _check_task(task: Task, fields: Fields, report: Report) -> None:
    """Folders give every image one class; a unit is that of a number."""
    path, unit = fields.entry("path"), fields.entry("unit")
    if task != "multiclass" and path is not None and not is_null(path.value):
        what = "numbers" if task == "regression" else "several classes"
        report.error(
            path.value.place,
            f"data.task is {task}, and a folder gives each image one class, not {what}",
            f"manifest: FILE.csv with path,label ({LABEL_FORMS[task]})",
        )
    if task != "regression" and unit is not None and not is_null(unit.value):
        report.error(
            unit.key.place,
            f"data.unit is the unit of a number, data.task is {task}",
            "task: regression; or remove unit",
        )


def read_split(node: Node, what: str, report: Report) -> SplitSpec | None:
    """The shares that are cut from train."""
    fields = fields_of(node, what, report, ("val", "test", "seed"), "{val: 0.2, test: 0.2}")
    if fields is None:
        return None
    split = SplitSpec(
        val=fields.read("val", _share, 0.2),
        test=fields.read("test", _share, 0.2),
        seed=fields.read("seed", read_seed, 0),
    )
    if split.val + split.test >= 1:
        both = f"val ({plain(split.val)}) and test ({plain(split.test)})"
        report.error(node.place, f"{what}: {both} leave nothing to train on", "val: 0.2, test: 0.2")
    return split


def read_epochs(node: Node, report: Report, least: int = Epochs().min) -> Epochs:
    """The resource; ``least`` is ``min`` where it is not written, as far as ``max`` allows."""
    fields = fields_of(node, "epochs", report, ("min", "max"), _epochs_example(node))
    if fields is None:
        return Epochs()
    bounds = Bounds(low=1, high=100_000)

    def epoch(node: Node, what: str, report: Report) -> int | None:
        return whole(node, what, report, bounds)

    before = report.found
    high = fields.read("max", epoch, Epochs().max)
    low = fields.read("min", epoch, min(least, high))
    if low > high and report.found == before:
        entry = fields.entry("min")
        assert entry is not None
        given = fields.entry("max") is not None
        report.error(
            entry.value.place,
            f"epochs: min ({low}) is greater than max ({high}{'' if given else ', the default'})",
            f"{{min: {high}, max: {low}}}" if given else f"{{min: {low}, max: {3 * low}}}",
        )
    return Epochs(min=min(low, high), max=high)


def _epochs_example(node: Node) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, int):
        return f"{{min: 1, max: {node.raw}}}"
    return "{min: 1, max: 10}"


def read_sampler(node: Node, report: Report) -> SamplerSpec:
    """What proposes params."""
    keys = ("name", "startup_trials")
    fields = fields_of(node, "sampler", report, keys, _named(node, SAMPLERS))
    if fields is None:
        return SamplerSpec()

    return SamplerSpec(
        name=fields.read("name", _sampler, SamplerSpec().name),
        startup_trials=fields.read("startup_trials", from_zero, 10),
    )


def read_scheduler(node: Node, report: Report) -> SchedulerSpec:
    """What decides at a report whether a trial goes on."""
    fields = fields_of(
        node, "scheduler", report, ("name", "reduction_factor"), _named(node, SCHEDULERS)
    )
    if fields is None:
        return SchedulerSpec()

    def factor(node: Node, what: str, report: Report) -> int | None:
        return whole(node, what, report, Bounds(low=2, high=100))

    return SchedulerSpec(
        name=fields.read("name", _scheduler, SchedulerSpec().name),
        reduction_factor=fields.read("reduction_factor", factor, 3),
    )


def _sampler(node: Node, what: str, report: Report) -> Literal["tpe", "random", "grid"] | None:
    return one_of(node, what, report, SAMPLERS)


def _scheduler(node: Node, what: str, report: Report) -> Literal["asha", "none"] | None:
    return one_of(node, what, report, SCHEDULERS)


def _named(node: Node, known: Sequence[str]) -> str:
    """The name that a plain word nearly is, as a mapping; else the usual one."""
    word = node.raw if isinstance(node, Scalar) and isinstance(node.value, str) else ""
    return f"{{name: {did_you_mean(word, known) or known[0]}}}"


def read_budget(node: Node, report: Report) -> Budget:
    """The study's limit; what is not named is no limit."""
    before = report.found
    fields = fields_of(node, "budget", report, KEYS["budget"], "{trials: 20}")
    if fields is None:
        return Budget()

    budget = Budget(
        trials=fields.read_or_none("trials", at_least_one),
        minutes=fields.read_or_none("minutes", _minutes),
        stop_after=fields.read_or_none("stop_after", at_least_one),
    )
    if budget == Budget(trials=None) and report.found == before:
        report.error(node.place, "budget has no trials, minutes or stop_after", "{trials: 20}")
    return budget


def read_resources(node: Node, report: Report) -> Resources:
    """What one trial gets; ``auto`` leaves it to the cluster."""
    if isinstance(node, Scalar) and node.raw == "auto":
        return Resources()
    fields = fields_of(node, "resources", report, KEYS["resources"], "auto, or {cpus_per_trial: 1}")
    if fields is None:
        return Resources()

    def cpus(node: Node, what: str, report: Report) -> float | None:
        return number(node, what, report, Bounds(low=0.01))

    def gpus(node: Node, what: str, report: Report) -> float | None:
        count = number(node, what, report, Bounds(low=0))
        if count is not None and count > 1 and not count.is_integer():
            report.error(
                node.place, f"{what}: {plain(count)} GPUs cannot be given", plain(float(int(count)))
            )
            return None
        return count

    return Resources(
        cpus_per_trial=fields.read_or_none("cpus_per_trial", cpus),
        gpus_per_trial=fields.read_or_none("gpus_per_trial", gpus),
        concurrency=fields.read_or_none("concurrency", at_least_one),
        minutes_per_epoch=fields.read_or_none("minutes_per_epoch", _minutes),
    )


def read_checkpoints(node: Node, report: Report) -> CheckpointsSpec:
    """Where trained weights are kept, and how many."""
    fields = fields_of(node, "checkpoints", report, ("dir", "keep"), "{dir: studies, keep: 3}")
    if fields is None:
        return CheckpointsSpec()
    return CheckpointsSpec(
        dir=fields.read("dir", read_path, "studies"), keep=fields.read("keep", at_least_one, 3)
    )


def read_cache(node: Node, report: Report) -> CacheSpec:
    """Where decoded images and activations are kept, how much, and how exact."""
    known = ("dir", "max_gb", "activations")
    fields = fields_of(node, "cache", report, known, "{max_gb: 50}")
    if fields is None:
        return CacheSpec()

    def size(node: Node, what: str, report: Report) -> float | None:
        return number(node, what, report, Bounds(low=0))

    def exact(node: Node, what: str, report: Report) -> ActivationType | None:
        return one_of(node, what, report, ACTIVATION_TYPES)

    return CacheSpec(
        dir=fields.read_or_none("dir", read_path),
        max_gb=fields.read_or_none("max_gb", size),
        activations=fields.read("activations", exact, "float16"),
    )


def at_least_one(node: Node, what: str, report: Report) -> int | None:
    """A whole number from 1."""
    return whole(node, what, report, Bounds(low=1))


def from_zero(node: Node, what: str, report: Report) -> int | None:
    """A whole number from 0."""
    return whole(node, what, report, Bounds(low=0))


def read_seed(node: Node, what: str, report: Report) -> int | None:
    """A whole number that every generator takes."""
    return whole(node, what, report, Bounds(low=0, high=2**32 - 1))


def _share(node: Node, what: str, report: Report) -> float | None:
    return number(node, what, report, Bounds(low=0, high=1, open=True))


def _minutes(node: Node, what: str, report: Report) -> float | None:
    return number(node, what, report, Bounds(low=0, open=True))
