"""The end of a search: the winner exported, measured on test, and compared.

The test set is opened here and nowhere else: once for the winner and once for
the default settings, each through the exported model's own predict, and once
for the linear probe (``asking.py``). Every opening is told before it happens, so
that the study can count it whatever follows. Nothing is chosen by what is seen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.data.parallel import Progress
from search.data.targets import Targets, targets_of
from search.data.units import units_of
from search.export.asking import WORDS, FinishJob, ask_linear_probe, ask_trial, forget_older
from search.export.bootstrap import Units
from search.export.measuring import compare, measure
from search.export.model_folder import ModelContents, check_destination, write_folder
from search.export.regressions import NAMES
from search.export.report import TestResult
from search.export.results import Baseline, BaselineName, FinalResults
from search.export.trial import contents, has_weights
from search.problems import SearchError

Outputs: TypeAlias = NDArray[np.floating]


def finish(
    job: FinishJob,
    *,
    progress: Progress = lambda _what, _done, _total: None,
    opening: Callable[[str], None] = lambda _what: None,
) -> FinalResults:
    """Export the winner, open the test set, compare.

    Args:
        job: The winner, the baselines' inputs, and where to export to.
        progress: Of decoding, answers and features, and which step has begun.
        opening: Called with ``winner``, ``default`` or ``linear_probe`` before
            the test set is opened for it.

    Returns:
        What the study keeps and the screen shows.

    Raises:
        SearchError: If the destination holds something else (2), the winner's
            weights are gone (2), a test image can no longer be read (3), or
            there is no room (74).
    """
    began = time.monotonic()
    origin, table = job.origin, job.origin.table
    target = check_destination(job.destination)
    opened = Counter(job.opened)

    def count(what: str) -> None:
        opening(what)
        opened[what] += 1

    model = contents(origin, job.winner)
    seen = ask_trial(job, job.winner, model, "winner", progress, count)
    targets = targets_of(table, table.part("test"))
    thresholds = model.info.learns.thresholds
    progress(f"intervals of the {WORDS['winner']}", 0, 0)
    units = units_of(table.part("test"))
    winner = _Measured(
        said_NK=seen.said_NK,
        targets=targets,
        thresholds=thresholds,
        units=units,
        test=_measure(job, seen.said_NK, targets, thresholds, units),
    )
    progress(f"writing the {WORDS['winner']}", 0, 0)
    folder = write_folder(target, model.measured(winner.test, on=seen.about["device"]))
    baselines = (
        _default(job, winner, progress, count),
        _linear_probe(job, model, winner, progress, count),
    )
    forget_older(job)
    return FinalResults(
        study=origin.study,
        objective=origin.objective,
        trial=job.winner.number,
        epoch=model.info.epoch,
        value=model.info.validation[origin.objective],
        params=dict(job.winner.params),
        test=winner.test,
        default_trial=None if job.default is None else job.default.number,
        baselines=baselines,
        opened=dict(opened),
        folder=str(folder),
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """The winner on the test set."""

    said_NK: Outputs
    targets: Targets
    thresholds: tuple[float, ...]
    units: Units
    """Test images that belong together."""
    test: TestResult


def _default(
    job: FinishJob,
    winner: _Measured,
    progress: Progress,
    count: Callable[[str], None],
) -> Baseline:
    """The trial at default settings, through its own export."""
    default, origin = job.default, job.origin
    if default is None:
        return _missing("default", "the search has no finished trial at default settings")
    who = f"trial {default.number}, at default settings"
    if default.number == job.winner.number:
        what = f"{who}, is the best trial itself"
        return Baseline(name="default", what=what, test=winner.test, comparison=None)
    if not has_weights(default.checkpoints):
        return _missing("default", f"{who}, left no weights")
    try:
        model = contents(origin, default)
    except SearchError as error:
        return _missing("default", f"{who}: {error.problems[0].fact}")
    seen = ask_trial(job, default, model, "default", progress, count)
    info = model.info
    what = f"trial {default.number}, {info.architecture.backbone}, epoch {info.epoch}"
    thresholds = info.learns.thresholds
    return _compared(job, "default", what, winner, seen.said_NK, thresholds, progress)


def _linear_probe(
    job: FinishJob,
    model: ModelContents,
    winner: _Measured,
    progress: Progress,
    count: Callable[[str], None],
) -> Baseline:
    """A linear model on frozen features of the winner's backbone."""
    seen = ask_linear_probe(job, model, progress, count)
    architecture = model.info.architecture
    what = (
        f"{NAMES[job.origin.table.task]} on frozen {architecture.backbone} at "
        f"{architecture.image_size} px, "
        f"C = {seen.about['strength']:g}, {seen.about['train_images']} images"
    )
    tuned = tuple(seen.about.get("thresholds", ()))
    return _compared(job, "linear_probe", what, winner, seen.said_NK, tuned, progress)


def _compared(
    job: FinishJob,
    name: BaselineName,
    what: str,
    winner: _Measured,
    found_NK: Outputs,
    thresholds: tuple[float, ...],
    progress: Progress,
) -> Baseline:
    """A baseline's figures, and the winner's lead over it."""
    progress(f"intervals of the {WORDS[name]}", 0, 0)
    return Baseline(
        name=name,
        what=what,
        test=_measure(job, found_NK, winner.targets, thresholds, winner.units),
        comparison=compare(
            job.origin.objective,
            winner.said_NK,
            found_NK,
            winner.targets,
            seed=job.seed,
            resamples=job.resamples,
            task=job.origin.table.task,
            thresholds=(winner.thresholds, thresholds),
            units=winner.units,
        ),
    )


def _measure(
    job: FinishJob,
    found_NK: Outputs,
    targets: Targets,
    thresholds: tuple[float, ...],
    units: Units,
) -> TestResult:
    table = job.origin.table
    return measure(
        found_NK,
        targets,
        table.classes,
        seed=job.seed,
        resamples=job.resamples,
        task=table.task,
        thresholds=thresholds,
        units=units,
    )


def _missing(name: BaselineName, why: str) -> Baseline:
    return Baseline(name=name, what=why, test=None, comparison=None)
