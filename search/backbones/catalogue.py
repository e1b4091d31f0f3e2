"""The backbones by name. Torch-free leaf.

The rows are in ``catalogue.json``, written from the libraries' own metadata by
``python -m search.backbones.generate`` and compared with them by a test.
Nothing here opens a model, a weights file or the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

from search.backbones.info import BackboneInfo, OtherWeights, PackagedWeights, Preprocessing
from search.space.settings import SizeRule
from search.space.spec import WeightsSpec


def from_row(row: Mapping[str, Any]) -> BackboneInfo:
    """The backbone that one row of ``catalogue.json`` describes."""
    packaged = row["packaged"]
    return BackboneInfo(
        name=row["name"],
        library=row["library"],
        library_name=row["library_name"],
        size=SizeRule(**row["size"]),
        preprocessing=_preprocessing(row["preprocessing"]),
        parameters=row["parameters"],
        weights=row["weights"],
        url=row["url"],
        sha256_prefix=row["sha256_prefix"],
        packaged=None if packaged is None else PackagedWeights(**packaged),
        licence=row["licence"],
        alternatives=tuple(
            OtherWeights(**{**other, "preprocessing": _preprocessing(other["preprocessing"])})
            for other in row["alternatives"]
        ),
    )


def _preprocessing(row: Mapping[str, Any]) -> Preprocessing:
    return Preprocessing(
        mean=tuple(row["mean"]),
        std=tuple(row["std"]),
        interpolation=row["interpolation"],
        crop_ratio=row["crop_ratio"],
    )


def _read() -> dict[str, BackboneInfo]:
    text = resources.files("search.backbones").joinpath("catalogue.json").read_text("utf-8")
    return {row["name"]: from_row(row) for row in json.loads(text)}


CATALOGUE: Mapping[str, BackboneInfo] = MappingProxyType(_read())
"""All backbones by name, in alphabetical order."""


def chosen(name: str, weights: WeightsSpec) -> BackboneInfo:
    """A backbone's row with the weights that a space file names for it.

    Args:
        name: A name of the catalogue.
        weights: Its ``tags`` are tags of these backbones.
    """
    info = CATALOGUE[name]
    tag = dict(weights.tags).get(name)
    return info if tag is None else info.with_weights(tag)


def sizes(weights: WeightsSpec | None = None) -> dict[str, SizeRule]:
    """Which image sizes each backbone takes, by name.

    Args:
        weights: Where they decide the default; None takes the usual ones.

    Returns:
        What ``search.space.load`` checks a space file against, e.g.
        ``sizes()["vit_b_16"] == SizeRule(default=224, minimum=32, multiple=16)``.
    """
    spec = weights or WeightsSpec()
    return {name: chosen(name, spec).size for name in CATALOGUE}


def tags() -> dict[str, tuple[str, ...]]:
    """The weights that each backbone can start from, by name; the usual ones first."""
    return {name: info.tags for name, info in CATALOGUE.items()}
