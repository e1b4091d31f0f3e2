"""``when:`` -> conditions. Values are typed here; reach is checked later.

A backbone can be named by a pattern (``vit_*``), which stands for those of the space's
backbones that are like it: a family is told apart without a list of its names.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from search.problems import Place
from search.space.domains import Condition, same
from search.space.nodes import Entries, Entry, Items, Node, Scalar, kind_of, listed, quote
from search.space.placed import Known, PlacedCondition
from search.space.report import Report
from search.space.scalars import ANY, fields_of, number, plain, unknown_key
from search.space.settings import Setting, Value

MAX_VALUES = 256

ReadValue = Callable[[Node, Setting, Known, Report, str], Value | None]


def read_when(
    entry: Entry | None, owner: Setting, known: Known, report: Report, read_value: ReadValue
) -> tuple[PlacedCondition, ...]:
    """The conditions of one branch; wrong ones are reported and left out."""
    if entry is None:
        return ()
    node = entry.value
    if not isinstance(node, Entries) or not node.entries:
        found_kind = "empty" if isinstance(node, Entries) else kind_of(node)
        report.error(
            node.place,
            f"when of {owner.name} is {found_kind}",
            "{unfreeze_depth: {min: 1}}, or remove it",
        )
        return ()
    found = []
    for item in node.entries:
        if item.name not in known.settings:
            fact = f"when of {owner.name}: there is no setting"
            unknown_key(item.key, fact, report, tuple(known.settings))
            continue
        condition = _condition(item, known.settings[item.name], known, report, read_value)
        if condition is not None:
            found.append(condition)
    return tuple(found)


def _condition(
    entry: Entry, setting: Setting, known: Known, report: Report, read_value: ReadValue
) -> PlacedCondition | None:
    what = f"when {setting.name}"
    if isinstance(entry.value, Entries):
        return _bounds(entry, setting, what, report)
    nodes = entry.value.items if isinstance(entry.value, Items) else (entry.value,)
    if not nodes:
        report.error(entry.value.place, f"{what}: an empty list never holds", "list a value")
        return None
    if len(nodes) > MAX_VALUES:
        report.error(entry.value.place, f"{what} lists {len(nodes)} values", "min and max")
        return None
    like = [node for node in nodes if setting.kind == "backbone" and _is_pattern(node)]
    named = [node for node in nodes if node not in like]
    read = [(read_value(node, setting, known, report, what), node) for node in named]
    if any(value is None for value, _ in read):
        return None
    values = tuple((value, node.place) for value, node in read if value is not None)
    for index, (value, place) in enumerate(values):
        if any(same(value, earlier) for earlier, _ in values[:index]):
            report.error(place, f"{what}: {plain(value)} is listed twice", "remove one of them")
            return None
    for node in like:
        values += _matching(node, known, [value for value, _ in values])
    if like and not values and report.strict(entry.key.place, lenient=known.lenient):
        words = listed([node.raw for node in like if isinstance(node, Scalar)])
        report.error(
            entry.value.place,
            f"{what}: no backbone of the space is like {quote(words)}",
            f"one of {listed(known.backbones)}",
        )
    return PlacedCondition(
        condition=Condition(param=setting.name, values=tuple(value for value, _ in values)),
        place=entry.key.place,
        values=values,
    )


def _is_pattern(node: Node) -> bool:
    return (
        isinstance(node, Scalar) and isinstance(node.value, str) and bool({"*", "?"} & {*node.raw})
    )


def _matching(node: Node, known: Known, given: list[Value]) -> tuple[tuple[Value, Place], ...]:
    """The space's backbones that a pattern stands for, but those given already."""
    assert isinstance(node, Scalar)
    names = [name for name in known.backbones if name not in given]
    return tuple((name, node.place) for name in names if fnmatchcase(name, node.raw))


def backbones_named(node: Entries, default: str) -> tuple[str, ...]:
    """Every name that the space's ``backbone`` lists, whatever its form."""
    entry = node.get("backbone")
    if entry is None:
        return (default,)
    found: list[str] = []
    waiting: list[Node] = [entry.value]
    while waiting:
        match waiting.pop(0):
            case Scalar(raw=raw):
                found.append(raw)
            case Items(items=items):
                waiting += items
            case Entries(entries=entries):
                waiting += [each.value for each in entries if each.name in ("choice", "value")]
    return tuple(dict.fromkeys(found))


def _bounds(entry: Entry, setting: Setting, what: str, report: Report) -> PlacedCondition | None:
    if setting.kind not in ("int", "float"):
        report.error(
            entry.value.place,
            f"{what}: min and max need a number, {setting.name} is a choice",
            f"a list of values: {{{setting.name}: [...]}}",
        )
        return None
    before = report.found
    fields = fields_of(entry.value, what, report, ("min", "max"), "{min: 1}")
    assert fields is not None
    low = fields.read_or_none("min", _edge)
    high = fields.read_or_none("max", _edge)
    if report.found > before:
        return None
    if low is None and high is None:
        report.error(entry.value.place, f"{what} needs min, max or values", "{min: 1}")
        return None
    if low is not None and high is not None and low > high:
        report.error(
            entry.value.place,
            f"{what}: min ({plain(low)}) is greater than max ({plain(high)})",
            f"{{min: {plain(high)}, max: {plain(low)}}}",
        )
        return None
    return PlacedCondition(
        condition=Condition(param=setting.name, min=low, max=high), place=entry.key.place
    )


def _edge(node: Node, what: str, report: Report) -> float | None:
    return number(node, what, report, ANY)
