"""What ``search plan`` knows: the machine, the weights, the places of a space.

:func:`gather` looks; nothing is written and neither torch nor ray is imported.
``plan_view.py`` turns a :class:`Plan` into text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from search.backbones.info import BackboneInfo
from search.cli.choices import backbones_of, image_sizes_of
from search.cli.data_check import data_place
from search.cli.machine import Machine
from search.cli.options import SpaceFlags
from search.problems import Problem
from search.space.spec import StudySpec

if TYPE_CHECKING:
    from search.space.halving import Expected
    from search.space.load import Loaded

SIMULATIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsRow:
    """One backbone of the space and where its weights are."""

    info: BackboneInfo
    sizes: tuple[int, ...]
    """Pixels that the space lets it have."""
    tag: str
    """Which weights: a tag of the library, ``random`` or a file."""
    here: bool
    where: str
    """``here``, or what will happen."""
    usable: bool
    """Whether a run could train it: here, or to be fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that ``search plan`` says."""

    spec: StudySpec
    machine: Machine
    concurrency: int
    """Trials at once on this machine."""
    expected: Expected | None
    """None where no number of trials limits the search."""
    simulations: int
    """Simulated searches behind ``expected``."""
    backbones: tuple[WeightsRow, ...]
    places: tuple[tuple[str, str], ...]
    """(what, absolute path or URL)."""
    warnings: tuple[Problem, ...]
    next_command: str
    extends: tuple[str, ...] = ()
    """The files that the space file extends, the nearest first."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each param's domain was written."""


def gather(
    loaded: Loaded,
    *,
    space: Path,
    flags: SpaceFlags,
    env: Mapping[str, str],
    machine: Machine,
    cluster: bool,
) -> Plan:
    """Look up what the space alone does not say.

    Args:
        loaded: The checked space and its warnings.
        space: The file, as typed; for the next command.
        flags: As typed; for the next command.
        env: For the cache folder.
        machine: This one.
        cluster: The run is meant for a Ray cluster.
    """
    from search.cli.consequences import Backbone, warnings
    from search.cli.paths import absolute_storage, cache_folder, study_folder
    from search.cli.started import run_command, typed
    from search.space.halving import MOST_SIMULATED, simulate
    from search.space.secrets import redact
    from search.tuning.resources import NodeSize, allocate

    spec = loaded.spec
    node = NodeSize(cpus=machine.cpus, gpus=machine.gpus)
    concurrency = max(1, allocate([node], spec.resources).concurrency)
    expected = None
    if spec.budget.trials is not None:
        expected = simulate(
            spec.budget.trials,
            spec.epochs,
            spec.scheduler.reduction_factor if spec.scheduler.name == "asha" else None,
            concurrency,
            seeds=SIMULATIONS,
        )
    cache = cache_folder(env, spec.cache.dir)
    rows = backbone_rows(spec, cache)
    checkpoints = study_folder(spec.checkpoints.dir, spec.name)
    found = [
        *loaded.warnings,
        *warnings(
            spec,
            backbones=[Backbone(info=row.info, size=min(row.sizes)) for row in rows if row.usable],
            expected=expected,
            machine=machine,
            cluster=cluster,
        ),
    ]
    return Plan(
        spec=spec,
        machine=machine,
        concurrency=concurrency,
        expected=expected,
        simulations=min(SIMULATIONS, max(1, MOST_SIMULATED // (spec.budget.trials or 1))),
        backbones=rows,
        places=(
            *((("extends", ", which extends ".join(loaded.extends)),) if loaded.extends else ()),
            ("sample" if spec.data.sample is not None else "data", data_place(spec.data)),
            *((("task", _task(spec)),) if spec.data.task != "multiclass" else ()),
            ("storage", redact(absolute_storage(spec.storage))),
            ("checkpoints", str(checkpoints)),
            ("cache", str(cache)),
        ),
        warnings=tuple(found),
        next_command=run_command(str(space), typed(flags)),
        extends=loaded.extends,
        origins=loaded.origins,
    )


def _task(spec: StudySpec) -> str:
    unit = spec.data.unit
    return f"{spec.data.task}, in {unit}" if unit else spec.data.task


def backbone_rows(spec: StudySpec, cache: Path) -> tuple[WeightsRow, ...]:
    """The backbones that a space can choose, in its order."""
    from search.backbones.availability import Located, locate
    from search.backbones.catalogue import chosen

    rows = []
    files = dict(spec.weights.files)
    for name in backbones_of(spec.space):
        info = chosen(name, spec.weights)
        sizes = tuple(size or info.size.default for size in image_sizes_of(spec.space))
        found = locate(name, spec.weights, cache)
        if name in files:
            tag = files[name].file
        else:
            tag = "random" if spec.weights.source == "random" else info.weights
        here = isinstance(found, Located)
        fetchable = not isinstance(found, Located) and found.fetchable
        if isinstance(found, Located):
            where = "here" if found.path is not None else "made at the start"
        elif fetchable:
            where = f"to be fetched, about {round(info.parameters * 4 / 1e6)} MB"
        else:
            where = found.reason.removeprefix(f"{name}: ")
        if not here and spec.weights.unavailable == "skip":
            where += "; left out if it cannot be had" if fetchable else "; left out"
        rows.append(
            WeightsRow(
                info=info,
                sizes=tuple(dict.fromkeys(sizes)),
                tag=tag,
                here=here,
                where=where,
                usable=here or fetchable,
            )
        )
    return tuple(rows)
