"""Who is asked about the test set: a trial through its own export, or a linear probe.

What was said is kept with the study, so that a later run asks only what is new. Every
opening is told before it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from search.backbones.availability import Located, locate
from search.data.images import DecodedForm
from search.data.parallel import Progress
from search.data.store import decoded_side
from search.data.streamed import stored_or_streamed
from search.export.evaluate import evaluate
from search.export.kept import Seen, asked, forget_others
from search.export.measuring import RESAMPLES
from search.export.model_folder import (
    ModelContents,
    check_destination,
    file_sha256,
    scratch,
    write_folder,
)
from search.export.predict import Predictor, device_of
from search.export.probe import ProbeJob, linear_probe
from search.export.trial import Candidate, Origin

_PROBE = "linear-probe"
"""Name of what is kept of the linear probe."""
WORDS = {
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


def ask_trial(
    job: FinishJob,
    candidate: Candidate,
    model: ModelContents,
    what: str,
    progress: Progress,
    count: Callable[[str], None],
) -> Seen:
    """What a trial says, through its own export; ``about`` has the device."""
    words = WORDS[what]

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


def ask_linear_probe(
    job: FinishJob,
    model: ModelContents,
    progress: Progress,
    count: Callable[[str], None],
) -> Seen:
    """What a linear model on frozen features of the winner's backbone says; ``about`` has
    its strength, images and thresholds."""
    from search.backbones.download import body_seed
    from search.training.checkpoint import load_trained

    origin, info = job.origin, model.info
    backbone, size = info.architecture.backbone, info.architecture.image_size
    random = not info.start_sha256
    body = body_seed(load_trained(job.winner.checkpoints).weights_hash) if random else 0

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
                seed=job.seed,
                body_seed=body,
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
        "seed": job.seed,
        **({"body_seed": body} if random else {}),
    }
    return _asked(job, _PROBE, identity, ask)


def forget_older(job: FinishJob) -> None:
    """Of what was kept, what no candidate of this end said."""
    compared = (job.winner, job.default or job.winner)
    forget_others(job.kept, [_PROBE, *map(_name, compared)])


def _asked(job: FinishJob, name: str, identity: Mapping[str, Any], ask: Callable[[], Seen]) -> Seen:
    table = job.origin.table
    whose = {"fingerprint": table.fingerprint, **identity}
    if table.task == "regression":  # earlier versions kept values as float32
        whose["values"] = "float64"
    shape = (len(table.part("test")), table.outputs)
    return asked(job.kept, name, whose, ask, shape=shape)


def _name(candidate: Candidate) -> str:
    """Of what is kept of a trial."""
    return f"trial-{candidate.number:05d}"


def _named(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)
