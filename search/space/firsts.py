"""``first:`` -> points that are tried before sampling, resolved and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search.problems import Place, did_you_mean
from search.space.domain_text import setting_value
from search.space.domains import same
from search.space.nodes import Entries, Items, Node, Scalar, kind_of, listed, quote
from search.space.placed import Known, PlacedSpace
from search.space.points import Moved, complete, contains
from search.space.report import Report
from search.space.scalars import plain
from search.space.settings import Value
from search.space.space_checks import needs

DEFAULT = "default"
MAX_POINTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Firsts:
    """What :class:`search.space.spec.StudySpec` keeps of ``first:``."""

    points: tuple[tuple[tuple[str, Value], ...], ...]
    default_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One entry: the values it names; none for ``default``."""

    given: Mapping[str, tuple[Value, Place]]
    is_default: bool
    place: Place | None


def read_first(node: Node | None, space: PlacedSpace, known: Known, report: Report) -> Firsts:
    """The points, ``default`` moved to the front, twins left out with a warning.

    Without the key it is the default settings alone.
    """
    before = report.found
    wanted = [_Wanted(given={}, is_default=True, place=None)]
    if node is not None:
        wanted = _read(node, space, known, report)
    if not space.sound or report.found > before:
        return Firsts(points=(), default_first=False)
    wanted.sort(key=lambda one: not one.is_default)
    points: list[dict[str, Value]] = []
    moved: dict[str, Moved] = {}
    bare = space.space
    for one in wanted:
        done = complete(
            bare, known.settings, {name: value for name, (value, _) in one.given.items()}
        )
        point = dict(done.point)
        void = [
            (place, *reason)
            for name, (value, place) in one.given.items()
            if (reason := _inactive(name, value, point, space)) is not None
        ]
        if void and space.lenient:
            report.warn(
                one.place, "this point is outside the space as flags left it; it is not tried"
            )
            continue
        if void and _is_inherited(one.place, report):
            report.note(one.place, "this point is outside the space; it is not tried")
            continue
        for place, fact, fix in void:
            report.error(place, fact, fix)
        if point in points:
            if _is_inherited(one.place, report):
                continue
            report.warn(one.place, "this point is listed before; it is tried once")
            continue
        points.append(point)
        for move in done.moved:
            moved.setdefault(move.name, move)
    for move in moved.values():
        param = space[move.name]
        report.note(
            param.node.place,
            f"the default of {move.name}, {plain(move.wanted)}, is not in the space: "
            f"{plain(move.used)} is used",
        )
    return Firsts(
        points=tuple(tuple(point.items()) for point in points),
        default_first=bool(wanted) and wanted[0].is_default,
    )


def _read(node: Node, space: PlacedSpace, known: Known, report: Report) -> list[_Wanted]:
    if not isinstance(node, Items):
        report.error(node.place, f"first is {kind_of(node)}, not a list", "[default]")
        return []
    if len(node.items) > MAX_POINTS:
        report.error(node.place, f"first lists {len(node.items)} points", f"at most {MAX_POINTS}")
        return []
    found = []
    for item in node.items:
        if isinstance(item, Entries):
            given = _given(item, space, known, report)
            found.append(_Wanted(given=given, is_default=False, place=item.place))
        elif isinstance(item, Scalar) and item.raw == DEFAULT:
            found.append(_Wanted(given={}, is_default=True, place=item.place))
        else:
            report.error(
                item.place,
                f"first: {item.shown if isinstance(item, Scalar) else kind_of(item)} "
                "is neither default nor a mapping",
                "default",
            )
    return found


def _given(
    node: Entries, space: PlacedSpace, known: Known, report: Report
) -> dict[str, tuple[Value, Place]]:
    """The values that one entry names and the space can hold."""
    given: dict[str, tuple[Value, Place]] = {}
    for entry in node.entries:
        setting = known.settings.get(entry.name)
        if setting is None:
            near = did_you_mean(entry.name, known.settings)
            report.error(
                entry.key.place,
                f"first: there is no setting {quote(entry.name)}",
                near or f"one of {listed(tuple(known.settings), 20)}",
            )
            continue
        value = setting_value(entry.value, setting, known, report, f"first: {entry.name}")
        if value is None:
            continue
        if entry.name not in space and same(value, setting.default):
            continue
        if space.lenient or _is_inherited(entry.key.place, report):
            given[entry.name] = (value, entry.value.place)  # judged once the point is complete
            continue
        if entry.name not in space:
            if entry.name in space.meant:
                continue
            report.error(
                entry.key.place,
                f"first: {entry.name} is not in the space, it is always {plain(setting.default)}",
                f"add {entry.name} to the space, or remove it here",
            )
            continue
        param = space[entry.name]
        if param.sound and not any(contains(branch.domain, value) for branch in param.branches):
            report.error(
                entry.value.place,
                f"first: {entry.name} {plain(value)} is outside its domain",
                f"a value of {entry.name} in the space",
            )
            continue
        given[entry.name] = (value, entry.value.place)
    return given


def _is_inherited(place: Place | None, report: Report) -> bool:
    return place is not None and place.file in report.inherited


def _inactive(
    name: str, value: Value, point: Mapping[str, Value], space: PlacedSpace
) -> tuple[str, str] | None:
    """Fact and fix where a given value did not come into the completed point."""
    if name not in point:
        others = listed(sorted(needs(space[name]))) if name in space else ""
        return (
            f"first: {name} does not exist in this point",
            f"remove it, or set {others} so that it does",
        )
    if not same(point[name], value) and not _close(point[name], value):
        return (
            f"first: {name} {plain(value)} is outside the domain that holds in this point",
            plain(point[name]),
        )
    return None


def _close(one: Value, other: Value) -> bool:
    """A float that a range in steps rounded to the step it names."""
    return (
        isinstance(one, float)
        and isinstance(other, float)
        and abs(one - other) <= 1e-9 * max(abs(one), abs(other))
    )
