"""``weights:`` -> where every backbone's weights come from."""

from __future__ import annotations

from typing import Literal

from search.problems import Place, did_you_mean
from search.space.nodes import Entries, Entry, Items, Node, kind_of, listed, quote
from search.space.placed import Known
from search.space.report import Report
from search.space.scalars import Bounds, fields_of, number, one_of, plain, text
from search.space.spec import WeightsFile, WeightsSpec

SOURCES: tuple[Literal["pretrained", "random"], ...] = ("pretrained", "random")
UNAVAILABLE: tuple[Literal["error", "skip"], ...] = ("error", "skip")


def read_weights(node: Node, known: Known, report: Report) -> WeightsSpec:
    """Which weights a backbone starts from."""
    keys = ("source", "unavailable", "files", "tags")
    fields = fields_of(node, "weights", report, keys, "{source: pretrained}")
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
            _check_backbone(one, "weights.files", known, report)
            file = _weights_file(one.value, f"weights.files.{one.name}", report)
            if file is not None:
                files.append((one.name, file))
    source = fields.read("source", _source, WeightsSpec().source)
    tags = _tags(fields.entry("tags"), known, report)
    for tagged, place in tags.items():
        if tagged[0] in dict(files):
            fact = f"weights.tags and weights.files both name {tagged[0]}"
            report.error(place, fact, "keep one of them")
        elif source == "random":
            fact = f"weights.tags names weights of {tagged[0]}, and weights.source is random"
            report.error(place, fact, "source: pretrained")
    return WeightsSpec(
        source=source,
        unavailable=fields.read("unavailable", _unavailable, WeightsSpec().unavailable),
        files=tuple(sorted(files)),
        tags=tuple(sorted(tags)),
    )


def _tags(entry: Entry | None, known: Known, report: Report) -> dict[tuple[str, str], Place]:
    """(backbone, tag) pairs, each with its place."""
    if entry is None:
        return {}
    if not isinstance(entry.value, Entries):
        fact = f"weights.tags is {kind_of(entry.value)}, not a mapping"
        report.error(entry.value.place, fact, "{resnet50: IMAGENET1K_V1}")
        return {}
    found: dict[tuple[str, str], Place] = {}
    for one in entry.value.entries:
        sound = _check_backbone(one, "weights.tags", known, report)
        tag = text(one.value, f"weights.tags.{one.name}", report)
        allowed = known.tags.get(one.name, ())
        if tag is None or not sound:
            continue
        if tag in allowed:
            found[one.name, tag] = one.key.place
            continue
        near = did_you_mean(tag, allowed) or f"one of {listed(tuple(allowed))}"
        fact = f"weights.tags: {quote(tag)} are no weights of {one.name}"
        report.error(one.value.place, fact, near)
    return found


def _check_backbone(entry: Entry, what: str, known: Known, report: Report) -> bool:
    """Whether the key is a backbone's name."""
    if entry.name in known.sizes:
        rule = known.sizes[entry.name]
        if rule.refused:
            fact = f"{what}: {entry.name} cannot be used: {rule.refused}"
            report.error(entry.key.place, fact, rule.instead)
        return not rule.refused
    near = did_you_mean(entry.name, known.sizes)
    fix = near or f"one of {listed(sorted(known.sizes))}; search backbones shows all"
    report.error(entry.key.place, f"{what}: {quote(entry.name)} is no backbone", fix)
    return False


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
