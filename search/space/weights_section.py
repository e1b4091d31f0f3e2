"""``weights:`` -> where every backbone's weights come from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from search.problems import did_you_mean
from search.space.nodes import Entries, Items, Node, kind_of, listed, quote
from search.space.report import Report
from search.space.scalars import Bounds, fields_of, number, one_of, plain, text
from search.space.spec import WeightsFile, WeightsSpec

SOURCES: tuple[Literal["pretrained", "random"], ...] = ("pretrained", "random")
UNAVAILABLE: tuple[Literal["error", "skip"], ...] = ("error", "skip")


def read_weights(node: Node, backbones: Collection[str], report: Report) -> WeightsSpec:
    """Which weights a backbone starts from."""
    known = ("source", "unavailable", "files")
    fields = fields_of(node, "weights", report, known, "{source: pretrained}")
    if fields is None:
        return WeightsSpec()

    files: list[tuple[str, WeightsFile]] = []
    entry = fields.entry("files")
    if entry is not None and not isinstance(entry.value, Entries):
        report.error(
            entry.value.place,
            f"weights.files is {kind_of(entry.value)}, not a mapping",
            "{resnet50: path/to/resnet50.safetensors}",
        )
    elif entry is not None and isinstance(entry.value, Entries):
        for one in entry.value.entries:
            if one.name not in backbones:
                near = did_you_mean(one.name, backbones)
                report.error(
                    one.key.place,
                    f"weights.files: {quote(one.name)} is no backbone",
                    near or f"one of {listed(sorted(backbones))}",
                )
            file = _weights_file(one.value, f"weights.files.{one.name}", report)
            if file is not None:
                files.append((one.name, file))
    return WeightsSpec(
        source=fields.read("source", _source, WeightsSpec().source),
        unavailable=fields.read("unavailable", _unavailable, WeightsSpec().unavailable),
        files=tuple(sorted(files)),
    )


def _source(node: Node, what: str, report: Report) -> Literal["pretrained", "random"] | None:
    return one_of(node, what, report, SOURCES)


def _unavailable(node: Node, what: str, report: Report) -> Literal["error", "skip"] | None:
    return one_of(node, what, report, UNAVAILABLE)


def _weights_file(node: Node, what: str, report: Report) -> WeightsFile | None:
    if not isinstance(node, Entries):
        path = text(node, what, report)
        return WeightsFile(file=path) if path else None
    fields = fields_of(node, what, report, ("file", "mean", "std"), "")
    assert fields is not None
    if fields.entry("file") is None:
        report.error(node.place, f"{what} names no file", "{file: path/to/weights.safetensors}")
    mean = fields.read_or_none("mean", _means)
    std = fields.read_or_none("std", _deviations)
    for one, other in (("mean", "std"), ("std", "mean")):
        entry = fields.entry(one)
        if entry is not None and fields.entry(other) is None:
            report.error(entry.key.place, f"{what} has {one} without {other}", f"give {other} too")
    path = fields.read("file", text, "")
    return WeightsFile(file=path, mean=mean, std=std) if path else None


def _means(node: Node, what: str, report: Report) -> tuple[float, float, float] | None:
    return _three(node, what, report, Bounds(low=0, high=1))


def _deviations(node: Node, what: str, report: Report) -> tuple[float, float, float] | None:
    return _three(node, what, report, Bounds(low=1e-6, high=1))


def _three(
    node: Node, what: str, report: Report, bounds: Bounds
) -> tuple[float, float, float] | None:
    if not isinstance(node, Items) or len(node.items) != 3:
        count = f"{len(node.items)} values" if isinstance(node, Items) else kind_of(node)
        report.error(
            node.place,
            f"{what}: {count} where one for each of R, G, B is needed",
            "[0.485, 0.456, 0.406]" if what.endswith("mean") else "[0.229, 0.224, 0.225]",
        )
        return None
    found = []
    for item in node.items:
        value = number(item, what, report)
        if value is not None and not bounds.hold(value):
            fix = plain(round(value / 255, 4)) if 1 < value <= 255 else str(bounds)
            report.error(item.place, f"{what}: {plain(value)} is not on a 0 to 1 scale", fix)
            value = None
        found.append(value)
    one, two, three = found
    return None if one is None or two is None or three is None else (one, two, three)
