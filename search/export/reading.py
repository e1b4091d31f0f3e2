"""The strict way back from ``model.json`` to :class:`ModelInfo`. Torch-free.

A folder may come from anyone, so every field is checked before anything is built
from it. Nothing here can run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from search.backbones.arguments import LINEAR, HeadSpec
from search.backbones.info import Preprocessing
from search.data.store import decoded_side
from search.export.contents import (
    FIRST_VERSION,
    FORMAT,
    INFO_FILE,
    VERSION,
    Architecture,
    ModelInfo,
)
from search.export.learns import Learns, finite
from search.export.report import TestResult
from search.problems import SearchError, fail
from search.space.spec import METRICS_OF

_LARGEST = 256 * 2**20
"""Bytes of a model.json that are read at most."""

_WIDEST_HEAD = 65_536

T = TypeVar("T")


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
    if document["version"] not in (FIRST_VERSION, VERSION):
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
        validation={name: finite(value) for name, value in _of(document, "validation").items()},
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
    ratio = finite(document["crop_ratio"])
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
    first, second, third = _each(document, name, finite)
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


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
