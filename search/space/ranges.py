"""``[low, high]`` with ``step``, ``steps`` and ``log`` -> a range."""

from __future__ import annotations

from search.space.domains import Domain, FloatRange, IntRange
from search.space.nodes import Items, Node, Scalar, kind_of
from search.space.report import Report
from search.space.scalars import Bounds, Fields, number, plain, whole
from search.space.settings import Setting

MAX_STEPS = 1_000


def read_range(
    node: Node, form: str, fields: Fields, setting: Setting, report: Report
) -> Domain | None:
    """An int or float range, all its figures checked against each other."""
    if setting.kind != form:
        report.error(
            node.place,
            f"{setting.name} is {_article(setting.kind)}, it takes no {form} range",
            example(setting),
        )
        return None
    if not isinstance(node, Items) or len(node.items) != 2:
        report.error(
            node.place,
            f"{setting.name}: {kind_of(node)} where [low, high] is needed",
            example(setting),
        )
        return None
    reader = whole if form == "int" else number
    low = reader(node.items[0], f"{setting.name} (low)", report)
    high = reader(node.items[1], f"{setting.name} (high)", report)
    log = fields.read("log", _flag, False)
    if low is None or high is None or not all(report.read(item.place) for item in node.items):
        return None
    raws = [item.raw if isinstance(item, Scalar) else "" for item in node.items]
    if low > high:
        report.error(
            node.place,
            f"{setting.name}: low ({plain(low)}) is greater than high ({plain(high)})",
            f"swap the bounds: [{raws[1]}, {raws[0]}]",
        )
        return None
    bounds = Bounds(low=setting.low, high=setting.high)
    if not (bounds.hold(low) and bounds.hold(high)):
        inside = [
            raw if bounds.hold(end) else plain(_clip(end, setting))
            for raw, end in zip(raws, (low, high), strict=True)
        ]
        report.error(
            node.place,
            f"{setting.name}: [{raws[0]}, {raws[1]}] leaves what is allowed, {bounds}",
            f"[{inside[0]}, {inside[1]}]",
        )
        return None
    if log and low <= 0:
        above = "1" if form == "int" else plain(min(1e-6, high / 10) if high > 0 else 1e-6)
        report.error(
            node.place,
            f"{setting.name}: log needs low above 0, low is {plain(low)}",
            f"[{above}, {raws[1]}]" if high > 0 else "log: false",
        )
        return None
    if form == "int":
        return _int_range(int(low), int(high), log, fields, setting, report)
    steps = fields.read_or_none("steps", _steps)
    return FloatRange(low=float(low), high=float(high), log=log, steps=steps)


def _int_range(
    low: int, high: int, log: bool, fields: Fields, setting: Setting, report: Report
) -> IntRange | None:
    step = fields.read("step", _step, 1)
    entry = fields.entry("step")
    if entry is not None and log and step != 1:
        report.error(
            entry.key.place, f"{setting.name}: step does not go with log: true", "remove step"
        )
        return None
    if entry is not None and (high - low) % step:
        reached = high - (high - low) % step
        report.error(
            entry.value.place,
            f"{setting.name}: {high} is not reached from {low} in steps of {step}",
            f"[{low}, {reached}]",
        )
        return None
    return IntRange(low=low, high=high, step=step, log=log)


def _clip(end: float, setting: Setting) -> float:
    low = end if setting.low is None else max(end, setting.low)
    return low if setting.high is None else min(low, setting.high)


def _article(kind: str) -> str:
    return {"int": "a whole number", "float": "a number"}.get(kind, f"one of a list ({kind})")


def _flag(node: Node, what: str, report: Report) -> bool | None:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    report.error(node.place, f"{what} is {kind_of(node)}", "true or false")
    return None


def _step(node: Node, what: str, report: Report) -> int | None:
    return whole(node, what, report, Bounds(low=1))


def _steps(node: Node, what: str, report: Report) -> int | None:
    return whole(node, what, report, Bounds(low=2, high=MAX_STEPS))


def example(setting: Setting) -> str:
    """A domain that the setting takes, for a fix."""
    if setting.kind == "int":
        high = plain(setting.high) if setting.high is not None else "8"
        return f"{{int: [{plain(setting.low or 0)}, {high}]}}"
    if setting.kind == "float" and setting.low:
        near = float(setting.default)
        return f"{{float: [{near / 10:g}, {near * 10:g}], log: true}}"
    if setting.kind == "float":
        high = plain(setting.high) if setting.high is not None else "1"
        return f"{{float: [{plain(setting.low or 0)}, {high}]}}"
    first = setting.choices[0] if setting.choices else setting.default
    return f"[{plain(first)}]"
