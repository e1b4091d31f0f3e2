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

from search.backbones.info import BackboneInfo, PackagedWeights, Preprocessing
from search.space.settings import SizeRule


def from_row(row: Mapping[str, Any]) -> BackboneInfo:
    """The backbone that one row of ``catalogue.json`` describes."""
    preprocessing = row["preprocessing"]
    packaged = row["packaged"]
    return BackboneInfo(
        name=row["name"],
        library=row["library"],
        library_name=row["library_name"],
        size=SizeRule(**row["size"]),
        preprocessing=Preprocessing(
            mean=tuple(preprocessing["mean"]),
            std=tuple(preprocessing["std"]),
            interpolation=preprocessing["interpolation"],
            crop_ratio=preprocessing["crop_ratio"],
        ),
        parameters=row["parameters"],
        weights=row["weights"],
        url=row["url"],
        sha256_prefix=row["sha256_prefix"],
        packaged=None if packaged is None else PackagedWeights(**packaged),
        licence=row["licence"],
    )


def _read() -> dict[str, BackboneInfo]:
    text = resources.files("search.backbones").joinpath("catalogue.json").read_text("utf-8")
    return {row["name"]: from_row(row) for row in json.loads(text)}


CATALOGUE: Mapping[str, BackboneInfo] = MappingProxyType(_read())
"""All backbones by name, in alphabetical order."""


def sizes() -> dict[str, SizeRule]:
    """Which image sizes each backbone takes, by name.

    Returns:
        What ``search.space.load`` checks a space file against, e.g.
        ``sizes()["vit_b_16"] == SizeRule(default=224, minimum=32, multiple=16)``.
    """
    return {name: info.size for name, info in CATALOGUE.items()}
