"""What an exported folder says about its model: ``model.json``. Torch-free.

``ModelInfo`` is the typed value, :func:`to_document` its JSON; the strict way
back is :mod:`search.export.reading`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from search.backbones.arguments import LINEAR, HeadSpec
from search.backbones.info import Preprocessing
from search.data.store import decoded_side
from search.export.learns import Learns
from search.export.report import TestResult
from search.space.settings import Value
from search.space.spec import Metric

FORMAT = "finetune-search model"
VERSION = 2
FIRST_VERSION = 1
"""Of a model that tells one class: as it was when there were no others, which a reader
of that version must refuse."""
WEIGHTS_FILE = "model.safetensors"
INFO_FILE = "model.json"
CARD_FILE = "README.md"
FILES = (WEIGHTS_FILE, INFO_FILE, CARD_FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How the library that owns the model builds it."""

    backbone: str
    """Name in our catalogue."""
    library: Literal["torchvision", "timm"]
    library_name: str
    """Name that the library's own constructor takes."""
    arguments: Mapping[str, int | bool | tuple[int, int]]
    """Keyword arguments of that constructor, ``num_classes`` among them."""
    image_size: int
    """Side of the square input, pixels."""
    head: HeadSpec = LINEAR
    """What takes the place of the library's last layer."""
    head_name: str = ""
    """Where in the library's model that is, e.g. ``fc``; empty for ``linear``, which
    the library makes itself."""
    convolution: bool = False
    """Whether an ``mlp``'s layers are 1 x 1 convolutions, as the library's last one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Everything about an exported model but its tensors."""

    architecture: Architecture
    labels: tuple[str, ...]
    """Class names; the position is the model's output. Empty for a regression."""
    preprocessing: Preprocessing
    study: str
    trial: int
    objective: Metric
    params: Mapping[str, Value]
    """The trial's active params."""
    epoch: int
    """The epoch whose weights these are, 1-based."""
    validation: Mapping[str, float]
    """All METRICS_OF the task on the validation part at that epoch."""
    images: Mapping[str, int]
    """Images in train, val and test."""
    test: TestResult | None
    """None when the test set has not been opened for this trial."""
    measured_on: str
    """``cpu`` or ``cuda``: where ``test`` was computed; empty without it."""
    fingerprint: str
    """Of the images and the split."""
    start: str
    """The weights that training started from, e.g. ``IMAGENET1K_V2`` or ``random``."""
    start_sha256: str
    """Their hash; empty for random ones."""
    versions: Mapping[str, str]
    """By distribution name."""
    licences: tuple[str, ...]
    """What must be said about the weights and the images."""
    learns: Learns = field(default_factory=Learns)
    """What the outputs mean."""

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for an image."""
        return 1 if self.learns.task == "regression" else len(self.labels)


def to_document(info: ModelInfo, *, sha256: str) -> dict[str, Any]:
    """The JSON of ``model.json``; ``sha256`` is that of the weights file."""
    architecture, preprocessing = info.architecture, info.preprocessing
    return {
        "format": FORMAT,
        "version": FIRST_VERSION if info.learns.task == "multiclass" else VERSION,
        "architecture": {
            "backbone": architecture.backbone,
            "library": architecture.library,
            "library_name": architecture.library_name,
            "arguments": dict(architecture.arguments),
            "image_size": architecture.image_size,
            **_head_document(architecture),
        },
        "weights": {"file": WEIGHTS_FILE, "sha256": sha256},
        "labels": list(info.labels),
        "learns": info.learns.to_json(),
        "preprocessing": {
            "decoded_side": decoded_side(architecture.image_size),
            "interpolation": preprocessing.interpolation,
            "crop_ratio": preprocessing.crop_ratio,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
        },
        "study": info.study,
        "trial": info.trial,
        "objective": info.objective,
        "params": dict(info.params),
        "epoch": info.epoch,
        "images": dict(info.images),
        "validation": dict(info.validation),
        "test": None if info.test is None else info.test.to_json(),
        "measured_on": info.measured_on,
        "fingerprint": info.fingerprint,
        "start": {"weights": info.start, "sha256": info.start_sha256},
        "versions": dict(info.versions),
        "licences": list(info.licences),
    }


def _head_document(architecture: Architecture) -> dict[str, Any]:
    """Nothing for a linear head, which the library's own arguments describe."""
    head = architecture.head
    if head.kind == "linear":
        return {}
    return {
        "head": {
            "kind": head.kind,
            "hidden": head.hidden,
            "name": architecture.head_name,
            "convolution": architecture.convolution,
        }
    }
