"""What an exported folder says about its model: ``model.json``. Torch-free.

``ModelInfo`` is the typed value, :func:`to_document` its JSON, and
:func:`read_info` the strict way back: a folder may come from anyone, so every
field is checked before anything is built from it. Nothing here can run code.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from search.backbones.arguments import LINEAR, HeadSpec
from search.backbones.info import Preprocessing
from search.data.store import decoded_side
from search.export.learns import Learns
from search.export.report import TestResult
from search.problems import SearchError, fail
from search.space.settings import Value
from search.space.spec import METRICS_OF, Metric

FORMAT = "finetune-search model"
VERSION = 2
_FIRST = 1
"""Of a model that tells one class: as it was when there were no others, which a reader
of that version must refuse."""
WEIGHTS_FILE = "model.safetensors"
INFO_FILE = "model.json"
CARD_FILE = "README.md"
FILES = (WEIGHTS_FILE, INFO_FILE, CARD_FILE)
_LARGEST = 256 * 2**20
"""Bytes of a model.json that are read at most."""

_WIDEST_HEAD = 65_536

T = TypeVar("T")


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
        "version": _FIRST if info.learns.task == "multiclass" else VERSION,
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


def read_info(path: Path) -> tuple[ModelInfo, str]:
    """The checked contents of a ``model.json`` and the hash of its weights file.

    Raises:
        SearchError: If it is missing, not ours, of a newer format, or damaged.
    """
    if not path.is_file():
        raise fail(
            f"{path.parent}: no {INFO_FILE} there, so not an exported model",
            fix="name the folder that search export wrote",
        )
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is larger than 256 MiB")
        document = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise fail(f"{path}: not readable as JSON: {error}", fix=_FIX) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise fail(f"{path}: not the {INFO_FILE} of an exported model", fix=_FIX)
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise fail(
            f"{path}: format version {version}, this search reads up to {VERSION}",
            fix="pip install --upgrade finetune-search",
        )
    try:
        return _info(document), _text(_of(document, "weights"), "sha256")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise damaged(path, str(error.args[0] if error.args else error)) from None


_FIX = "export the trial again with search export"


def damaged(path: Path, what: str) -> SearchError:
    """A file of an exported folder that does not say what it must."""
    return fail(f"{path}: damaged: {what}", fix=_FIX)


def _info(document: Mapping[str, Any]) -> ModelInfo:
    if document["version"] not in (_FIRST, VERSION):
        raise ValueError(f"no format version {document['version']!r}")
    architecture = _architecture(_of(document, "architecture"))
    labels = tuple(_each(document, "labels", str))
    learns = Learns.from_json(document.get("learns", {"task": "multiclass"}), labels)
    number = learns.task == "regression"
    if bool(labels) == number or len(set(labels)) != len(labels):
        raise ValueError("labels must be at least one distinct name, and none for a number")
    if architecture.arguments.get("num_classes") != (1 if number else len(labels)):
        raise ValueError(f"{len(labels)} labels do not fit the architecture's num_classes")
    test = document["test"]
    objective = _text(document, "objective")
    if objective not in METRICS_OF[learns.task]:
        raise ValueError(f"no metric {objective!r}")
    start = _of(document, "start")
    return ModelInfo(
        architecture=architecture,
        labels=labels,
        preprocessing=_preprocessing(_of(document, "preprocessing"), architecture.image_size),
        study=_text(document, "study"),
        trial=_whole(document, "trial", low=0),
        objective=METRICS_OF[learns.task][METRICS_OF[learns.task].index(objective)],
        params=_of(document, "params"),
        epoch=_whole(document, "epoch", low=1),
        validation={name: _number(value) for name, value in _of(document, "validation").items()},
        images={name: int(count) for name, count in _of(document, "images").items()},
        test=None if test is None else _test(test, labels),
        measured_on=_text(document, "measured_on"),
        fingerprint=_text(document, "fingerprint"),
        start=_text(start, "weights"),
        start_sha256=_text(start, "sha256"),
        versions={name: str(value) for name, value in _of(document, "versions").items()},
        licences=tuple(_each(document, "licences", str)),
        learns=learns,
    )


def _test(document: Mapping[str, Any], labels: tuple[str, ...]) -> TestResult:
    test = TestResult.from_json(document)
    if tuple(each.name for each in test.classes) != labels:
        raise ValueError("the test figures are of other classes")
    return test


def _architecture(document: Mapping[str, Any]) -> Architecture:
    library = _text(document, "library")
    if library not in ("torchvision", "timm"):
        raise ValueError(f"no library {library!r}")
    arguments = _of(document, "arguments")
    head, head_name, convolution = _head(document)
    return Architecture(
        backbone=_text(document, "backbone"),
        library="torchvision" if library == "torchvision" else "timm",
        library_name=_text(document, "library_name"),
        arguments={name: _argument(arguments, name) for name in arguments},
        image_size=_whole(document, "image_size", low=1),
        head=head,
        head_name=head_name,
        convolution=convolution,
    )


def _head(document: Mapping[str, Any]) -> tuple[HeadSpec, str, bool]:
    if "head" not in document:
        return LINEAR, "", False
    head = _of(document, "head")
    hidden, name = _whole(head, "hidden", low=0), _text(head, "name")
    if _text(head, "kind") != "mlp" or type(head["convolution"]) is not bool:
        raise ValueError("no such head")
    if hidden > _WIDEST_HEAD or re.fullmatch(r"\w+(\.\w+)*", name, re.ASCII) is None:
        raise ValueError("the head has no name, or is wider than any")
    return HeadSpec(kind="mlp", hidden=hidden), name, head["convolution"]


def _argument(document: Mapping[str, Any], name: str) -> int | bool | tuple[int, int]:
    value = document[name]
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and len(value) == 2:
        height, width = (_whole({name: each}, name, low=1) for each in value)
        return height, width
    return _whole(document, name, low=1)


def _preprocessing(document: Mapping[str, Any], image_size: int) -> Preprocessing:
    interpolation = _text(document, "interpolation")
    if interpolation not in ("bilinear", "bicubic"):
        raise ValueError(f"no interpolation {interpolation!r}")
    ratio = _number(document["crop_ratio"])
    if not 0 < ratio <= 1:
        raise ValueError("crop_ratio must be above 0 and at most 1")
    if _whole(document, "decoded_side", low=1) != decoded_side(image_size):
        raise ValueError(f"decoded_side does not fit image_size {image_size}")
    mean, std = (_three(document, name) for name in ("mean", "std"))
    if min(std) <= 0:
        raise ValueError("std must be above 0")
    return Preprocessing(
        mean=mean,
        std=std,
        interpolation="bicubic" if interpolation == "bicubic" else "bilinear",
        crop_ratio=ratio,
    )


def _three(document: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    first, second, third = _each(document, name, _number)
    return first, second, third


def _of(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be an object")
    return value


def _each(document: Mapping[str, Any], name: str, kind: Callable[[Any], T]) -> list[T]:
    value = document[name]
    if not isinstance(value, list) or (kind is str and any(type(v) is not str for v in value)):
        raise TypeError(f"{name} must be a list")
    return [kind(each) for each in value]


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text")
    return value


def _whole(document: Mapping[str, Any], name: str, *, low: int) -> int:
    value = document[name]
    if type(value) is not int or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("a number is expected where it says " + repr(value)[:40])
    return float(value)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
