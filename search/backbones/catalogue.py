"""The backbones by name. Torch-free leaf.

The rows are in ``catalogue.json``, written from the libraries' own metadata by
``python -m search.backbones.generate`` and compared with them by a test.
The names of timm, ``timm:NAME``, can be looked up as well, but are not among those
that are listed. Nothing here opens a model, a weights file or the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from search.backbones.info import BackboneInfo, OtherWeights, PackagedWeights, Preprocessing
from search.backbones.timm_names import is_timm, timm_blocks, timm_info, timm_size, timm_tags
from search.space.settings import SizeRule
from search.space.spec import WeightsSpec

T = TypeVar("T")


class Names(Mapping[str, T], Generic[T]):
    """What is known of every backbone: listed are ours, looked up are timm's as well."""

    def __init__(self, listed: Mapping[str, T], timm: Callable[[str], T]) -> None:
        self._listed = MappingProxyType(dict(listed))
        self._timm = timm

    def __getitem__(self, name: str) -> T:
        return self._timm(name) if is_timm(name) else self._listed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


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


CATALOGUE: Mapping[str, BackboneInfo] = Names(_read(), timm_info)
"""All backbones by name, in alphabetical order; and timm's by ``timm:NAME``."""


def chosen(name: str, weights: WeightsSpec) -> BackboneInfo:
    """A backbone's row with the weights that a space file names for it.

    Args:
        name: A name of the catalogue.
        weights: Its ``tags`` are tags of these backbones.
    """
    info = CATALOGUE[name]
    tag = dict(weights.tags).get(name)
    return info if tag is None else info.with_weights(tag)


def sizes(weights: WeightsSpec | None = None) -> Mapping[str, SizeRule]:
    """Which image sizes each backbone takes, by name.

    Args:
        weights: Where they decide the default; None takes the usual ones.

    Returns:
        What ``search.space.load`` checks a space file against, e.g.
        ``sizes()["vit_b_16"] == SizeRule(default=224, minimum=32, multiple=16)``. A name
        that begins as timm's always has a rule: one that cannot be used says why.
    """
    spec = weights or WeightsSpec()
    return Names({name: chosen(name, spec).size for name in CATALOGUE}, timm_size)


def blocks_of(name: str) -> tuple[tuple[str, int], ...]:
    """Of each of a backbone's five blocks, from the image on, the library's modules in it
    and how many parameters they have.

    Returns:
        E.g. ``(("conv1, bn1, relu, maxpool", 9536), ("layer1", 147968), ...)``.
    """
    if is_timm(name):
        return timm_blocks(name)
    return tuple((modules, count) for modules, count in _blocks()[name])


@lru_cache(maxsize=1)
def _blocks() -> Mapping[str, list[tuple[str, int]]]:
    text = resources.files("search.backbones").joinpath("blocks.json").read_text("utf-8")
    found: Mapping[str, list[tuple[str, int]]] = json.loads(text)
    return found


def tags() -> Mapping[str, tuple[str, ...]]:
    """The weights that each backbone can start from, by name; the usual ones first."""
    return Names({name: info.tags for name, info in CATALOGUE.items()}, timm_tags)
