"""Nodes -> domains: the forms that a key of ``space:`` can take.

A plain value, a list of choices, ``{int: [low, high]}``, ``{float: [low, high]}``,
``{choice: [...]}``, ``{value: x}``, or a list of those mappings, each under
conditions. Every value is checked against its setting.
"""

from __future__ import annotations

from search.problems import did_you_mean
from search.space.domains import Choice, Fixed, same
from search.space.nodes import Entries, Items, Node, Scalar, kind_of, listed, quote
from search.space.placed import Known, PlacedBranch
from search.space.ranges import example, read_range
from search.space.report import Report
from search.space.scalars import Bounds, fields_of, number, plain, whole
from search.space.settings import Setting, Value
from search.space.when import read_when

FORMS = ("int", "float", "choice", "value")
MAX_CHOICES = 256
MAX_BRANCHES = 16
_MODIFIERS = {
    "int": ("step", "log"),
    "float": ("steps", "log"),
    "choice": (),
    "value": (),
}


def read_branches(
    node: Node, setting: Setting, known: Known, report: Report
) -> tuple[PlacedBranch, ...]:
    """Every usable branch of one key; what is wrong goes to ``report``."""
    if isinstance(node, Items) and any(isinstance(item, Entries) for item in node.items):
        found = []
        if len(node.items) > MAX_BRANCHES:
            report.error(
                node.place,
                f"{setting.name} has {len(node.items)} domains",
                f"at most {MAX_BRANCHES}",
            )
            return ()
        for item in node.items:
            if isinstance(item, Entries):
                found.append(_mapping(item, setting, known, report))
            else:
                report.error(
                    item.place,
                    f"{setting.name} lists domains, this is {kind_of(item)}",
                    "{value: %s}" % (item.raw if isinstance(item, Scalar) else "..."),
                )
        return tuple(branch for branch in found if branch is not None)
    branch = (
        _mapping(node, setting, known, report)
        if isinstance(node, Entries)
        else _plain(node, setting, known, report)
    )
    return (branch,) if branch else ()


def setting_value(
    node: Node, setting: Setting, known: Known, report: Report, what: str = ""
) -> Value | None:
    """One value of a setting, typed and in its range; None after a report."""
    what = what or setting.name
    bounds = Bounds(low=setting.low, high=setting.high)
    if setting.kind == "int":
        return whole(node, what, report, bounds)
    if setting.kind == "float":
        return number(node, what, report, bounds)
    allowed: tuple[Value, ...] = (
        tuple(known.sizes) if setting.kind == "backbone" else setting.choices
    )
    if not isinstance(node, Scalar) or node.value is None:
        report.error(node.place, f"{what} is {kind_of(node)}", f"one of {_words(allowed)}")
        return None
    if setting.kind == "backbone" and node.raw not in allowed and node.raw in known.sizes:
        rule = known.sizes[node.raw]  # one of those that are not listed
        if not rule.refused:
            return node.raw
        report.error(node.place, f"{what}: {node.raw} cannot be used: {rule.refused}", rule.instead)
        return None
    for choice in allowed:
        if same(choice, node.value) or (isinstance(choice, str) and choice == node.raw):
            return choice
    noun = "backbone" if setting.kind == "backbone" else setting.name
    near = did_you_mean(node.raw, [str(choice) for choice in allowed])
    fact = f"{what}: {quote(node.raw)} is no {noun}"
    more = "; search backbones shows all" if setting.kind == "backbone" else ""
    report.error(node.place, fact, near or f"one of {_words(allowed)}{more}")
    return None


def _words(allowed: tuple[Value, ...]) -> str:
    return listed([plain(choice) for choice in allowed])


def _plain(node: Node, setting: Setting, known: Known, report: Report) -> PlacedBranch | None:
    """A plain value or a list of choices."""
    if isinstance(node, Items):
        branch = _choice(node, setting, known, report)
        if branch is not None and setting.kind == "float":
            _tell_two(branch, setting, report)
        return branch
    value = setting_value(node, setting, known, report)
    if value is None:
        return None
    return PlacedBranch(domain=Fixed(value=value), place=node.place, listed=((value, node.place),))


def _tell_two(branch: PlacedBranch, setting: Setting, report: Report) -> None:
    """Two numbers are likely to be meant as the ends of a range."""
    ends = sorted(float(value) for value, _ in branch.listed)
    if len(ends) != 2 or not ends[0] or branch.place.file in report.inherited:
        return  # 0 beside a number is off or on
    log = ", log: true" if setting.low else ""
    report.note(
        branch.place,
        f"{setting.name}: two choices; a range is {{float: [{ends[0]:g}, {ends[1]:g}]{log}}}",
    )


def _choice(node: Items, setting: Setting, known: Known, report: Report) -> PlacedBranch | None:
    if not node.items:
        report.error(node.place, f"{setting.name}: an empty choice", "list at least one value")
        return None
    if len(node.items) > MAX_CHOICES:
        report.error(
            node.place,
            f"{setting.name} lists {len(node.items)} values",
            f"at most {MAX_CHOICES}, or a range",
        )
        return None
    found: list[tuple[Value, Scalar]] = []
    for item in node.items:
        value = setting_value(item, setting, known, report)
        if value is None:
            continue
        assert isinstance(item, Scalar)
        twin = next((other for known_value, other in found if same(known_value, value)), None)
        if twin is not None:
            report.error(
                item.place,
                f"{setting.name}: {item.shown} is listed twice",
                "remove one of them",
            )
        else:
            found.append((value, item))
    if not found:
        return None
    return PlacedBranch(
        domain=Choice(choices=tuple(value for value, _ in found)),
        place=node.place,
        listed=tuple((value, item.place) for value, item in found),
    )


def _mapping(node: Entries, setting: Setting, known: Known, report: Report) -> PlacedBranch | None:
    forms = [entry for entry in node.entries if entry.name in FORMS]
    if len(forms) != 1:
        unknown = [entry for entry in node.entries if entry.name not in (*FORMS, "when")]
        bounds = {"min", "max", "low", "high"} & {entry.name for entry in unknown}
        near = did_you_mean(unknown[0].name, FORMS) if unknown and not forms and not bounds else ""
        report.error(
            (forms[1].key if forms else unknown[0].key if unknown else node).place,
            f"{setting.name} needs exactly one of int, float, choice, value"
            + (f", not {quote(unknown[0].name)}" if unknown and not forms else ""),
            near or example(setting),
        )
        return None
    form = forms[0].name
    allowed = (form, "when", *_MODIFIERS[form])
    _refuse_modifiers(node, setting, form, report)
    misplaced = {"step", "steps", "log"} - set(allowed)
    fields = fields_of(node, setting.name, report, (*allowed, *misplaced), "")
    assert fields is not None
    inner = forms[0].value
    branch: PlacedBranch | None = None
    if form == "value" and isinstance(inner, Scalar):
        branch = _plain(inner, setting, known, report)
    elif form == "choice" and isinstance(inner, Items):
        branch = _choice(inner, setting, known, report)
    elif form in ("value", "choice"):
        listing = form == "value" and isinstance(inner, Items)
        report.error(
            inner.place,
            f"{setting.name}: {kind_of(inner)} where "
            f"{'one value' if form == 'value' else 'a list'} is needed",
            "choice: [...]" if listing else example(setting),
        )
    else:
        domain = read_range(inner, form, fields, setting, report)
        branch = PlacedBranch(domain=domain, place=inner.place) if domain else None
    when = read_when(node.get("when"), setting, known, report, setting_value)
    if branch is None:
        return None
    return PlacedBranch(
        domain=branch.domain,
        place=branch.place,
        listed=branch.listed,
        when=when,
        when_place=entry.key.place if (entry := node.get("when")) else None,
    )


def _refuse_modifiers(node: Entries, setting: Setting, form: str, report: Report) -> None:
    """``step`` belongs to int, ``steps`` to float, ``log`` to both."""
    for name in ("step", "steps", "log"):
        entry = node.get(name)
        if entry is None or name in _MODIFIERS[form]:
            continue
        other = {"step": "steps", "steps": "step"}.get(name, "")
        fits = other in _MODIFIERS[form]
        report.error(
            entry.key.place,
            f"{setting.name}: {name} does not go with {form}",
            f"{other} ({'how many values' if other == 'steps' else 'their distance'})"
            if fits
            else "remove it",
        )
