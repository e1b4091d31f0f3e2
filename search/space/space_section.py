"""``space:`` -> a placed space, checked as a whole.

First every key by itself, then what ties keys together: conditions that name
each other, branches that nothing reaches, image sizes that a backbone cannot
take. The second part needs a sound first one.
"""

from __future__ import annotations

from dataclasses import replace

from search.problems import did_you_mean
from search.space.colons import told_of_slip
from search.space.domain_text import read_branches
from search.space.nodes import Entries, Node, kind_of, listed, quote
from search.space.placed import Known, PlacedParam, PlacedSpace
from search.space.report import Report
from search.space.space_checks import (
    check_alike,
    check_conditions,
    check_reach,
    check_sizes,
    needs,
    ordered_params,
)
from search.space.when import backbones_named


def read_space(
    node: Node | None, known: Known, report: Report, *, lenient: bool = False
) -> PlacedSpace:
    """The space; unsound when any problem was found in it.

    Args:
        lenient: Whether flags changed the section: conditions of the file that
            can no longer hold are left out instead of reported.
    """
    if node is None:
        return PlacedSpace(params=(), sound=True)
    before = report.found
    if not isinstance(node, Entries):
        if not told_of_slip(node, known.settings, report):
            report.error(node.place, f"space is {kind_of(node)}, not a mapping", "lr: 1e-3")
        return PlacedSpace(params=(), sound=False)
    usual = str(known.settings["backbone"].default) if "backbone" in known.settings else ""
    known = replace(known, backbones=backbones_named(node, usual), lenient=lenient)
    params = []
    meant: set[str] = set()
    for entry in node.entries:
        setting = known.settings.get(entry.name)
        if setting is None:
            if told_of_slip(entry.key, known.settings, report):
                continue
            near = did_you_mean(entry.name, known.settings)
            meant |= {near} & known.settings.keys()
            report.error(
                entry.key.place,
                f"there is no setting {quote(entry.name)}",
                near or f"one of {listed(tuple(known.settings), 20)}",
            )
            continue
        errors = report.found
        branches = read_branches(entry.value, setting, known, report)
        params.append(
            PlacedParam(
                name=entry.name,
                place=entry.key.place,
                node=entry.value,
                branches=branches,
                sound=report.found == errors,
            )
        )
    broken: set[str] = set()
    for param in params:
        errors = report.found
        check_alike(param, report)
        check_conditions(param, params, report, meant=meant, lenient=lenient)
        if report.found > errors:
            broken.add(param.name)
    ordered, circular = ordered_params(params, report)
    broken |= circular
    if not lenient:
        check_reach(_walkable(ordered, broken | {p.name for p in params if not p.sound}), report)
    # A typo in a list of backbones does not hide the sizes that the others cannot take.
    unread = {p.name for p in params if not p.sound and (needs(p) or not p.branches)}
    sized = _walkable(ordered, broken | unread)
    if all(name in sized or node.get(name) is None for name in ("backbone", "image_size")):
        check_sizes(sized, known, report)
    return PlacedSpace(
        params=ordered,
        sound=report.found == before,
        lenient=lenient,
        extends=bool(report.inherited),
        meant=frozenset(meant),
    )


def _walkable(params: tuple[PlacedParam, ...], broken: set[str]) -> PlacedSpace:
    """The params that can be walked although ``broken`` ones cannot."""
    kept: list[PlacedParam] = []
    for param in params:
        names = {other.name for other in kept}
        if param.name not in broken and needs(param) <= names:
            kept.append(param)
    return PlacedSpace(params=tuple(kept), sound=True)
