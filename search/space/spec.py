"""StudySpec: a whole study as one frozen value, and nothing else.

Pure data. Built by :func:`search.space.load` from YAML; written by hand only
in tests. Domains are in ``domains.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from search.space.domains import Space
from search.space.settings import Value

Task: TypeAlias = Literal["multiclass", "multilabel", "regression"]
TASKS: tuple[Task, ...] = ("multiclass", "multilabel", "regression")
"""What is learnt of an image: its one class, any number of classes, a number."""

Metric: TypeAlias = Literal[
    "balanced_accuracy",
    "accuracy",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "auroc",
    "loss",
    "mAP",
    "micro_f1",
    "mae",
    "rmse",
    "r2",
]
METRICS: tuple[Metric, ...] = (
    "balanced_accuracy",
    "accuracy",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "auroc",
    "loss",
)
"""Of the task multiclass; the first is its usual objective."""
METRICS_OF: Mapping[Task, tuple[Metric, ...]] = MappingProxyType(
    {
        "multiclass": METRICS,
        "multilabel": ("mAP", "macro_f1", "micro_f1", "loss"),
        "regression": ("mae", "rmse", "r2", "loss"),
    }
)
"""Of each task, in the order in which they are shown; the first is its usual objective."""
ALL_METRICS: tuple[Metric, ...] = tuple(
    dict.fromkeys(metric for task in TASKS for metric in METRICS_OF[task])
)
LOSSES_OF: Mapping[Task, tuple[str, ...]] = MappingProxyType(
    {
        "multiclass": ("cross_entropy", "focal"),
        "multilabel": ("bce", "focal"),
        "regression": ("mse", "mae", "huber"),
    }
)
"""What each task can minimise; the first is what the setting ``loss: auto`` is."""
_LOWER_IS_BETTER: frozenset[Metric] = frozenset(("loss", "mae", "rmse"))


def maximized(metric: Metric) -> bool:
    """Whether a higher value is better."""
    return metric not in _LOWER_IS_BETTER


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSpec:
    """How the parts that the data does not bring are cut from train."""

    val: float = 0.2
    """Share of all images for validation, in (0, 1)."""
    test: float = 0.2
    """Share of all images for the test, in (0, 1)."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Where the images are. Exactly one of path, manifest, sample is set."""

    path: str | None = None
    manifest: str | None = None
    sample: str | None = None
    split: SplitSpec = field(default_factory=SplitSpec)
    max_images: int | None = None
    """A stratified subset of this many images; None takes all."""
    max_bad: int = 0
    """How many unreadable images are tolerated (they are left out)."""
    task: Task = "multiclass"
    """How labels are read, and what is learnt."""
    unit: str = ""
    """Of the values of a regression, e.g. ``kg``; it is only shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs:
    """The only resource. No trial is stopped before ``min``."""

    min: int = 1
    max: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """A local state dict for a catalogue name, with its normalisation."""

    file: str
    mean: tuple[float, float, float] | None = None
    """Per RGB channel on a 0..1 scale; None takes the catalogue's."""
    std: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """Which weights a backbone starts from."""

    source: Literal["pretrained", "random"] = "pretrained"
    unavailable: Literal["error", "skip"] = "error"
    files: tuple[tuple[str, WeightsFile], ...] = ()
    """(backbone, file) pairs; they win over ``source``."""
    tags: tuple[tuple[str, str], ...] = ()
    """(backbone, which of its pretrained weights) pairs; the others have the usual ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSpec:
    name: Literal["tpe", "random", "grid"] = "tpe"
    startup_trials: int = 10
    """Trials sampled at random before TPE fits its model (tpe only)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSpec:
    name: Literal["asha", "none"] = "asha"
    reduction_factor: int = 3
    """Keep about the best 1/reduction_factor at each rung, >= 2."""


PATIENCE_METRICS: tuple[Literal["loss", "objective"], ...] = ("loss", "objective")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatienceSpec:
    """When a trial ends itself, whatever other trials do; it is complete then."""

    metric: Literal["loss", "objective"] = "loss"
    """Of validation; what must improve."""
    epochs: int = 5
    """How many it may fail to improve for, >= 1, counted from the first at final depth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The study's limit, over all its runs. At least one is set."""

    trials: int | None = 20
    """Settled trials of any state."""
    minutes: float | None = None
    """Wall time summed over all runs of the study."""
    stop_after: int | None = None
    """Settled trials in a row without a better one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one trial gets. None means: decided from the cluster (auto)."""

    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    """Fractions below 1 share a GPU; 0 trains on the CPU."""
    concurrency: int | None = None
    """At most this many trials at once."""
    minutes_per_epoch: float | None = None
    """A trial that reports nothing for so long is ended, > 0. None: a generous limit
    from its own epochs (``tuning/silence.py``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointsSpec:
    dir: str = "studies"
    keep: int = 3
    """Trained weights are kept for this many best trials, >= 1."""


ActivationType: TypeAlias = Literal["float16", "float32"]
ACTIVATION_TYPES: tuple[ActivationType, ...] = ("float16", "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """What is computed once and read by every later trial. Only ``activations``
    changes results, stored or not."""

    dir: str | None = None
    """None: SEARCH_CACHE, else the platform's cache folder."""
    max_gb: float | None = None
    """Decoded images and activations together, units of 10**9 bytes, >= 0.
    None: half of what the disk has free. 0 stores nothing new."""
    activations: ActivationType = "float16"
    """What frozen blocks put out is rounded to this at every block's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySpec:
    """Everything that a space file says, checked and with defaults filled in."""

    name: str
    seed: int = 0
    data: DataSpec
    objective: Metric = "balanced_accuracy"
    epochs: Epochs = field(default_factory=Epochs)
    space: Space
    first: tuple[tuple[tuple[str, Value], ...], ...] = ()
    """Points tried before sampling: each the *active* params as (name, value)
    pairs, already completed with defaults and checked against the space."""
    default_first: bool = True
    """Whether ``first[0]`` is the default settings."""
    weights: WeightsSpec = field(default_factory=WeightsSpec)
    sampler: SamplerSpec = field(default_factory=SamplerSpec)
    scheduler: SchedulerSpec = field(default_factory=SchedulerSpec)
    patience: PatienceSpec | None = None
    """None trains every trial on until the scheduler or the last epoch ends it."""
    budget: Budget = field(default_factory=Budget)
    resources: Resources = field(default_factory=Resources)
    storage: str = "sqlite:///studies/studies.db"
    checkpoints: CheckpointsSpec = field(default_factory=CheckpointsSpec)
    cache: CacheSpec = field(default_factory=CacheSpec)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which way the objective gets better."""
        return "maximize" if maximized(self.objective) else "minimize"
