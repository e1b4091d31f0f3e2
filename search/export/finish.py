"""The end of a search: the winner exported, measured on test, and compared.

The test set is opened here and nowhere else: once for the winner and once for
the default settings, each through the exported model's own predict, and once
for the linear probe. What they said is kept with the study: after a later run,
only what is new is asked. Every opening is told before it happens, so that the
study can count it whatever follows. Nothing is chosen by what is seen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.backbones.availability import Located, locate
from search.data.images import DecodedForm
from search.data.parallel import Progress
from search.data.store import decoded_side
from search.data.streamed import stored_or_streamed
from search.data.targets import Targets, targets_of
from search.export.evaluate import evaluate
from search.export.kept import Seen, asked, forget_others
from search.export.measuring import RESAMPLES, compare, measure
from search.export.model_folder import (
    ModelContents,
    check_destination,
    file_sha256,
    scratch,
    write_folder,
)
from search.export.predict import Predictor, device_of
from search.export.probe import ProbeJob, linear_probe
from search.export.regressions import NAMES
from search.export.report import TestResult
from search.export.results import Baseline, BaselineName, FinalResults
from search.export.trial import Candidate, Origin, contents, has_weights
from search.problems import SearchError

Outputs: TypeAlias = NDArray[np.floating]
PROBE = "linear-probe"
"""Name of what is kept of the linear probe."""
_WORDS = {
    "winner": "best trial",
    "default": "default settings",
    "linear_probe": "linear probe",
}
"""For the steps that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishJob:
    """Everything that the end of a search needs. Plain, so that it can travel."""

    origin: Origin
    winner: Candidate
    default: Candidate | None
    """The trial at default settings; None when the search has none."""
    destination: Path
    """Folder of the winner's export."""
    seed: int = 0
    """Of the bootstrap."""
    resamples: int = RESAMPLES
    device: str = "auto"
    """``cpu``, ``cuda``, or ``auto``: a GPU where there is one."""
    opened: Mapping[str, int] = field(default_factory=dict)
    """How often the test set was opened before, by what for."""
    streamed: tuple[DecodedForm, ...] = ()
    """What there is no room to store as decoded images."""
    kept: tuple[Path, ...] = ()
    """Folders in which earlier ends of this study kept what was said of the test
    set; the first is written to. None keeps nothing."""


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
    seen = _trial(job, job.winner, model, "winner", progress, count)
    targets = targets_of(table, table.part("test"))
    thresholds = model.info.learns.thresholds
    progress(f"intervals of the {_WORDS['winner']}", 0, 0)
    winner = _Measured(
        said_NK=seen.said_NK,
        targets=targets,
        thresholds=thresholds,
        test=_measure(job, seen.said_NK, targets, thresholds),
    )
    progress(f"writing the {_WORDS['winner']}", 0, 0)
    folder = write_folder(target, model.measured(winner.test, on=seen.about["device"]))
    baselines = (
        _default(job, winner, progress, count),
        _linear_probe(job, model, winner, progress, count),
    )
    compared = (job.winner, job.default or job.winner)
    forget_others(job.kept, [PROBE, *map(_name, compared)])
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
    test: TestResult


def _name(candidate: Candidate) -> str:
    """Of what is kept of a trial."""
    return f"trial-{candidate.number:05d}"


def _asked(job: FinishJob, name: str, identity: Mapping[str, Any], ask: Callable[[], Seen]) -> Seen:
    table = job.origin.table
    whose = {"fingerprint": table.fingerprint, **identity}
    if table.task == "regression":  # earlier versions kept values as float32
        whose["values"] = "float64"
    shape = (len(table.part("test")), table.outputs)
    return asked(job.kept, name, whose, ask, shape=shape)


def _trial(
    job: FinishJob,
    candidate: Candidate,
    model: ModelContents,
    what: str,
    progress: Progress,
    count: Callable[[str], None],
) -> Seen:
    """A trial through its own export; ``about`` has the device."""
    words = _WORDS[what]

    def ask() -> Seen:
        with scratch(check_destination(job.destination)) as room:  # gone afterwards
            progress(f"exporting the {words}", 0, 0)
            predictor = Predictor.open(write_folder(room / "model", model), device=job.device)
            count(what)
            found_NK, _ = evaluate(
                predictor,
                job.origin.table,
                "test",
                progress=_named(progress, "decoding test images"),
                answered=_named(progress, f"test, {words}"),
            )
            return Seen(said_NK=found_NK, about={"device": predictor.device})

    identity = {
        "weights": file_sha256(candidate.checkpoints / "best.safetensors"),
        "preprocessing": asdict(model.info.preprocessing),
    }
    return _asked(job, _name(candidate), identity, ask)


def _default(
    job: FinishJob,
    winner: _Measured,
    progress: Progress,
    count: Callable[[str], None],
) -> Baseline:
    """The trial at default settings, through its own export."""
    default, origin = job.default, job.origin
    if default is None:
        return _missing("default", "the search has no trial at default settings")
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
    seen = _trial(job, default, model, "default", progress, count)
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
    from search.training.checkpoint import load_trained

    origin, info = job.origin, model.info
    backbone, size = info.architecture.backbone, info.architecture.image_size
    # A random body is the winner's own; what is drawn of many images is not.
    random = not info.start_sha256
    seed = load_trained(job.winner.checkpoints).config.seed if random else job.seed

    def told(done: int, total: int) -> None:
        progress("linear probe", done, total)
        if done == total:
            progress("fitting the linear probe", 0, 0)

    def ask() -> Seen:
        from search.backbones.weights import load_state

        located = locate(backbone, origin.weights, origin.cache)
        assert isinstance(located, Located)  # the winner was assembled from it
        images = stored_or_streamed(
            origin.table,
            DecodedForm(side=decoded_side(size), interpolation=info.preprocessing.interpolation),
            streamed=job.streamed,
            cache=origin.cache,
            progress=progress,
        )
        count("linear_probe")
        probe = linear_probe(
            ProbeJob(
                backbone=backbone,
                image_size=size,
                state=load_state(located),
                preprocessing=info.preprocessing,
                table=origin.table,
                images=images,
                objective=origin.objective,
                seed=seed,
                device=device_of(job.device),
            ),
            progress=told,
        )
        about = {
            "strength": probe.strength,
            "train_images": probe.train_images,
            "thresholds": list(probe.thresholds),
        }
        return Seen(said_NK=probe.said_NK, about=about)

    identity = {
        "backbone": backbone,
        "image_size": size,
        "weights": info.start_sha256,
        "preprocessing": asdict(info.preprocessing),
        "objective": origin.objective,
        "seed": seed,
    }
    seen = _asked(job, PROBE, identity, ask)
    what = (
        f"{NAMES[origin.table.task]} on frozen {backbone} at {size} px, "
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
    progress(f"intervals of the {_WORDS[name]}", 0, 0)
    return Baseline(
        name=name,
        what=what,
        test=_measure(job, found_NK, winner.targets, thresholds),
        comparison=compare(
            job.origin.objective,
            winner.said_NK,
            found_NK,
            winner.targets,
            seed=job.seed,
            resamples=job.resamples,
            task=job.origin.table.task,
            thresholds=(winner.thresholds, thresholds),
        ),
    )


def _measure(
    job: FinishJob, found_NK: Outputs, targets: Targets, thresholds: tuple[float, ...]
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
    )


def _missing(name: BaselineName, why: str) -> Baseline:
    return Baseline(name=name, what=why, test=None, comparison=None)


def _named(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)
