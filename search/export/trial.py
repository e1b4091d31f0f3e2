"""From a trial's checkpoint to a model that can leave the study.

The checkpoint holds the trained tensors; the others come from the pretrained
weights that it names by hash, so both must be there. torch is imported inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.backbones.availability import Missing, locate
from search.backbones.catalogue import chosen
from search.data.images import ImageTable
from search.data.targets import scale_of
from search.export.contents import Architecture, ModelInfo
from search.export.learns import Learns
from search.export.model_folder import ModelContents, write_folder
from search.export.report import TestResult
from search.problems import Exit, fail
from search.space.settings import Value
from search.space.spec import Metric, WeightsSpec

if TYPE_CHECKING:
    from search.backbones.availability import Located
    from search.backbones.info import BackboneInfo
    from search.training.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What all models of a study have in common."""

    study: str
    objective: Metric
    table: ImageTable
    weights: WeightsSpec
    """Where the pretrained weights come from."""
    cache: Path
    """Our cache folder."""
    versions: Mapping[str, str]
    """By distribution name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trial whose weights were kept."""

    number: int
    params: Mapping[str, Value]
    """Its active params."""
    checkpoints: Path
    """The folder that ``fit`` wrote ``best.safetensors`` in."""


def has_weights(checkpoints: Path) -> bool:
    """Whether a trial's folder still holds the weights of its best epoch."""
    return (checkpoints / "best.safetensors").is_file()


def export_trial(
    origin: Origin,
    candidate: Candidate,
    destination: Path,
    *,
    test: TestResult | None = None,
    measured_on: str = "",
) -> Path:
    """Write the model of a trial's best epoch to a folder and return it.

    Args:
        origin: The study.
        candidate: The trial.
        destination: The folder; an earlier export there is replaced.
        test: Its figures, where the test set has been opened for it.
        measured_on: The device of ``test``.

    Raises:
        SearchError: As :func:`contents` and ``model_folder.write_folder``.
    """
    model = contents(origin, candidate, test=test, measured_on=measured_on)
    return write_folder(destination, model)


def contents(
    origin: Origin,
    candidate: Candidate,
    *,
    test: TestResult | None = None,
    measured_on: str = "",
) -> ModelContents:
    """The model of a trial's best epoch.

    Raises:
        SearchError: If its weights are gone, damaged, or of other classes (exit
            2), or the pretrained weights that it started from are not there (69).
    """
    from search.backbones.arguments import constructor_arguments
    from search.backbones.download import weights_hash
    from search.backbones.weights import load_state
    from search.training.checkpoint import assemble, load_trained
    from search.training.faults import CheckpointUnusable
    from search.training.head import head_of

    try:
        checkpoint = load_trained(candidate.checkpoints, "best")
        located = _located(origin, checkpoint)
        given = checkpoint.weights_hash if located.path is None else weights_hash(located)
        staged = assemble(checkpoint, load_state(located), weights_hash=given)
    except CheckpointUnusable as error:
        raise fail(
            f"trial {candidate.number} of {origin.study} has no usable weights: {error}",
            fix="search export --trial N, with a trial whose weights were kept",
        ) from error
    config, table = checkpoint.config, origin.table
    if checkpoint.classes != table.outputs:
        raise fail(
            f"trial {candidate.number} has {checkpoint.classes} classes, "
            f"the study's images {table.outputs}"
        )
    known = chosen(config.backbone, origin.weights)
    start, licences = origins(origin, known, random=located.path is None)
    info = ModelInfo(
        architecture=Architecture(
            backbone=config.backbone,
            library=known.library,
            library_name=known.library_name,
            arguments=constructor_arguments(
                config.backbone, classes=checkpoint.classes, image_size=config.image_size
            ),
            image_size=config.image_size,
            head=head_of(config),
            head_name="" if config.head == "linear" else staged.head_name,
            convolution=config.head != "linear" and staged.linear.weight.ndim == 4,
        ),
        labels=table.classes,
        preprocessing=located.preprocessing,
        study=origin.study,
        trial=candidate.number,
        objective=origin.objective,
        params=dict(candidate.params),
        epoch=checkpoint.epoch,
        validation=dict(checkpoint.metrics),
        images={str(part): count for part, count in table.counts().items()},
        test=test,
        measured_on=measured_on,
        fingerprint=table.fingerprint,
        start=start,
        start_sha256="" if located.path is None else given,
        versions=dict(origin.versions),
        licences=licences,
        learns=Learns(
            task=table.task,
            thresholds=checkpoint.thresholds,
            scale=scale_of(table),
            unit=table.unit,
        ),
    )
    return ModelContents(info=info, state=staged.model.state_dict())


def origins(origin: Origin, known: BackboneInfo, *, random: bool) -> tuple[str, tuple[str, ...]]:
    """What training started from, and what must be said about it and the images.

    Args:
        origin: The study.
        known: The backbone, with the weights that the study chose.
        random: The body started from random tensors.

    Returns:
        E.g. ``("a1_in1k", ("weights: fine-tuned from resnet18.a1_in1k, licence:
        apache-2.0", "images: CC0"))``.
    """
    own = dict(origin.weights.files).get(known.name)
    images = (f"images: {origin.table.licence}",) if origin.table.licence else ()
    if own is not None:
        name = Path(own.file).name
        return name, (f"weights: fine-tuned from {name}, under its own terms", *images)
    if random:
        return "random", images
    weights = f"weights: fine-tuned from {known.library_name}, licence: {known.licence}"
    return known.weights, (weights, *images)


def _located(origin: Origin, checkpoint: Checkpoint) -> Located:
    found = locate(checkpoint.config.backbone, origin.weights, origin.cache)
    if isinstance(found, Missing):
        raise fail(found.reason, fix=found.fix, status=Exit.MISSING)
    return found
