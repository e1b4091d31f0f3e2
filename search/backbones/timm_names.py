"""timm's models by name, ``timm:NAME``, without timm. Torch-free leaf.

The rows are in ``timm.json``, one line a model, written by ``python -m
search.backbones.timm_generate`` with the tested version of timm and compared with it by
a test. NAME is timm's own: an architecture (its usual weights), or an architecture, a
dot and the tag of its weights. The file is read when the first such name is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, TypeGuard

from search.backbones.info import BackboneInfo, Preprocessing
from search.problems import did_you_mean
from search.space.settings import SizeRule

PREFIX = "timm:"
EXTRA = "pip install 'finetune-search[timm]'"
HUB = "https://huggingface.co"
NO_WEIGHTS = "none"
"""The tag of an architecture that timm has no weights of."""
_NO_LICENCE = "not stated, see timm's model page"


def is_timm(name: object) -> TypeGuard[str]:
    """Whether a name is one of timm's, known or not."""
    return isinstance(name, str) and name.startswith(PREFIX)


def timm_version() -> str:
    """The tested timm, whose models these are, e.g. ``1.0.31``."""
    tested: str = _document()["timm"]
    return tested


def timm_info(name: str) -> BackboneInfo:
    """The row of a name of timm's.

    Raises:
        KeyError: If the tested timm has no such model, or it falls into no blocks.
    """
    row, tag = _found(name)
    if row["refused"]:
        raise KeyError(f"{name}: {row['refused']}")
    weights: Mapping[str, Any] = row["tags"].get(tag) or next(iter(row["tags"].values()), {})
    file, licence = weights.get("file", ""), weights.get("licence", "")
    usual = _document()["norms"][weights.get("norm", 0)]
    architecture = name.removeprefix(PREFIX).partition(".")[0]
    return BackboneInfo(
        name=name,
        library="timm",
        library_name=f"{architecture}.{tag}" if tag else architecture,
        size=_size(row, tag),
        preprocessing=Preprocessing(
            mean=tuple(usual[0]),
            std=tuple(usual[1]),
            interpolation=weights.get("interpolation", "bicubic"),
            crop_ratio=weights.get("crop", 0.875),
        ),
        parameters=row["parameters"],
        weights=tag or NO_WEIGHTS,
        url=f"{HUB}/{file}" if file else "",
        licence=licence if licence not in ("", "unknown") else _NO_LICENCE,
    )


def timm_size(name: str) -> SizeRule:
    """Which sizes a name of timm's takes; for one that cannot be used, why."""
    try:
        row, tag = _found(name)
    except KeyError:
        refused = f"timm {timm_version()} has no model of that name"
        return SizeRule(default=0, refused=refused, instead=_near(name))
    return _size(row, tag)


def timm_arguments(name: str, image_size: int) -> dict[str, int | bool | tuple[int, int]]:
    """What timm's constructor is told besides the number of classes: the side of the
    image, where the model has a table of positions."""
    row, _ = _found(name)
    return {key: image_size if value is None else value for key, value in row["arguments"].items()}


def timm_tags(name: str) -> tuple[str, ...]:
    """The weights that a name of timm's stands for: they are part of the name."""
    try:
        _, tag = _found(name)
    except KeyError:
        return ()
    return (tag or NO_WEIGHTS,)


def timm_blocks(name: str) -> tuple[tuple[str, int], ...]:
    """Of each of the five blocks what is in it and its parameters, from the image on."""
    row, _ = _found(name)
    return tuple((modules, count) for modules, count in row["blocks"])


def timm_names() -> Iterator[str]:
    """All names that can be used, with the tag of their weights, in alphabetical order."""
    for architecture, row in _document()["models"].items():
        if not row["refused"]:
            tags = row["tags"] or {"": {}}
            for tag in tags:
                yield f"{PREFIX}{architecture}" + (f".{tag}" if tag else "")


def _size(row: Mapping[str, Any], tag: str) -> SizeRule:
    weights = row["tags"].get(tag) or {}
    default = weights.get("size", row["size"])
    # A few were trained at a size that is no whole number of patches: that one alone.
    fixed = row["fixed"] or default % row["multiple"] != 0
    return SizeRule(
        default=default,
        minimum=default if fixed else row["minimum"],
        multiple=1 if fixed else row["multiple"],
        maximum=default if fixed else None,
        refused=row["refused"],
        instead="search backbones 'timm:*' lists those that can be used" if row["refused"] else "",
    )


def _found(name: str) -> tuple[Mapping[str, Any], str]:
    """The architecture's row, and the tag: the usual one where the name has none."""
    architecture, dot, tag = name.removeprefix(PREFIX).partition(".")
    row = _document()["models"].get(architecture)
    if row is None or (dot and tag not in row["tags"]):
        raise KeyError(name)
    return row, tag or next(iter(row["tags"]), "")


def _near(name: str) -> str:
    architecture, dot, _ = name.removeprefix(PREFIX).partition(".")
    models = _document()["models"]
    if dot and architecture in models:
        tags = [f"{PREFIX}{architecture}.{tag}" for tag in models[architecture]["tags"]]
        return f"one of {', '.join(tags)}" if tags else f"{PREFIX}{architecture}"
    near = did_you_mean(architecture, models)
    return f"{PREFIX}{near}" if near else "search backbones 'timm:*' lists timm's names"


@lru_cache(maxsize=1)
def _document() -> Mapping[str, Any]:
    text = resources.files("search.backbones").joinpath("timm.json").read_text("utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document
