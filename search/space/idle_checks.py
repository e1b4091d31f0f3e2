"""Settings that a space names where they do nothing: told, each at its place. Pure.

A trial that differs from another in nothing but such a setting is the same trial, so a
sampler is told of differences that do nothing, and a winner of settings that it does
not owe anything to. Nothing is refused, and no space is changed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from search.problems import Place
from search.space.acting import Alternatives, acts_in, as_value, as_when, hold, words
from search.space.domains import Choice, Condition, Domain, Space, same
from search.space.nodes import Items, listed
from search.space.placed import PlacedParam, PlacedSpace
from search.space.points import values
from search.space.reach import ancestors, in_force, joint
from search.space.report import Report
from search.space.settings import Setting, Value
from search.space.spec import LOSSES_OF, Task

MOST_TOLD = 5
"""Settings that are told one by one; the rest are named together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    name: str
    place: Place
    fact: str
    fix: str = ""


def check_idle(
    task: Task, space: PlacedSpace, settings: Mapping[str, Setting], report: Report
) -> None:
    """Warn of what does nothing at any point, and note where a ``when`` is missing.

    A setting at its default is never told of, nor a fixed one that acts at some points.
    What an extended file says is for more spaces than this one: of that, only what is
    varied in vain is told.
    """
    bare = space.space
    never: list[_Told] = []
    partly: list[_Told] = []
    for param in space.params:
        setting = settings[param.name]
        where = acts_in(setting, bare, settings) if param.name in bare else None
        if where is None:
            continue
        look = _Look.at(bare, setting, where, settings)
        inherited = param.place.file in report.inherited
        if look.acts == {False} and (look.varied or not inherited):
            never.append(_in_vain(task, param, setting, look, settings))
        elif look.acts == {True, False} and not inherited:
            partly += _without_when(param, look, bare, words(setting, settings))
    _tell(never, partly, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What a setting comes to at the points of a space that give it another value than
    its default, or several."""

    where: Alternatives
    points: tuple[tuple[int, dict[str, Value], bool], ...]
    """The branch in force, the point and whether the setting acts there."""
    domains: Mapping[int, Domain]
    """Of those branches."""

    @classmethod
    def at(
        cls,
        space: Space,
        setting: Setting,
        where: Alternatives,
        settings: Mapping[str, Setting],
    ) -> _Look:
        conditions = [condition for group in where for condition in group]
        names = [condition.param for condition in conditions]
        defaults = {name: settings[name].default for name in names}

        def telling(name: str, value: Value) -> Hashable:
            return tuple(each.holds({name: value}) for each in conditions if each.param == name)

        param = space[setting.name]
        domains = {
            index: branch.domain
            for index, branch in enumerate(param.branches)
            if not _is(branch.domain, setting.default)
        }
        found = joint(space, [setting.name, *names], telling)
        points = [
            (branch, point, hold(where, {**defaults, **point}))
            for point in (found.points if found.whole else ())
            if (branch := in_force(param, point)) in domains and branch is not None
        ]
        return cls(where=where, points=tuple(points), domains=domains)

    @property
    def acts(self) -> set[bool]:
        """Whether it does at some point, and whether it does not at some."""
        return {acts for _, _, acts in self.points}

    @property
    def varied(self) -> bool:
        """Whether a sampler chooses it anywhere."""
        return any(_varies(domain) for domain in self.domains.values())


def _is(domain: Domain, value: Value) -> bool:
    """Whether a domain has this value alone."""
    listed = values(domain)
    return listed is not None and len(listed) == 1 and same(listed[0], value)


def _varies(domain: Domain) -> bool:
    listed = values(domain)
    return listed is None or len(listed) > 1


def _in_vain(
    task: Task,
    param: PlacedParam,
    setting: Setting,
    look: _Look,
    settings: Mapping[str, Setting],
) -> _Told:
    """What does nothing at any point; the fix names what keeps it from that."""
    fixes = [f"remove {setting.name}"]
    lacking = [
        condition
        for condition in look.where[0]
        if not any(
            condition.holds({condition.param: settings[condition.param].default, **point})
            for _, point, _ in look.points
        )
    ]
    if lacking and all(_can_be(condition, task) for condition in lacking):
        fixes.append(", ".join(map(as_value, lacking)))
    return _Told(
        name=setting.name,
        place=param.place,
        fact=f"{setting.name} does nothing here: it acts where {words(setting, settings)}",
        fix=", or write ".join(fixes),
    )


def _can_be(condition: Condition, task: Task) -> bool:
    """Whether a line can be offered under which it holds: another backbone is no small
    thing, and a loss is one of the task's."""
    if condition.param == "loss":
        return not {*LOSSES_OF[task]}.isdisjoint(condition.values or ())
    return condition.param != "backbone" and condition.values != ()


def _without_when(param: PlacedParam, look: _Look, space: Space, where: str) -> list[_Told]:
    """The first domain that is varied where it does nothing, with the ``when`` it lacks."""
    for index, domain in look.domains.items():
        mine = [(point, acts) for branch, point, acts in look.points if branch == index]
        if not _varies(domain) or {acts for _, acts in mine} != {True, False}:
            continue
        lines = [as_when(group, space) for group in _lines(look.where, mine)]
        circular = param.name in ancestors(
            space, [condition.param for group in look.where for condition in group]
        )
        if not lines or circular:
            continue
        placed = next((each for each in param.branches if each.domain is domain), None)
        if placed is None:
            continue
        text = f"when: {lines[0]}"
        if len(lines) > 1:
            text = f"a domain for each of {' and '.join(f'when: {line}' for line in lines)}"
        elif placed.when:
            text = f"{lines[0][1:-1]} in its when"
        elif isinstance(param.node, Items) and isinstance(domain, Choice):
            text = f"{{choice: [...], when: {lines[0]}}}"
        fact = f"{param.name} acts only where {where}: write {text}"
        return [_Told(name=param.name, place=placed.place, fact=fact)]
    return []


def _lines(
    where: Alternatives, points: Sequence[tuple[Mapping[str, Value], bool]]
) -> tuple[tuple[Condition, ...], ...]:
    """The shortest conditions of a file that hold where a setting acts; those of one
    alternative where that is enough. None where no ``when`` says it, since there a setting
    that is not active counts as one that does not hold."""

    def says(alternatives: Alternatives) -> bool:
        return all(hold(alternatives, point) == acts for point, acts in points)

    for group in where:
        for count in range(1, len(group) + 1):
            for some in combinations(group, count):
                if says((some,)):
                    return (some,)
    known = {name for point, _ in points for name in point}
    written = tuple(tuple(each for each in group if each.param in known) for group in where)
    reached = tuple(group for group in written if any(hold((group,), point) for point, _ in points))
    return reached if all(reached) and says(reached) else ()


def _tell(never: Sequence[_Told], partly: Sequence[_Told], report: Report) -> None:
    never, partly = sorted(never, key=_line), sorted(partly, key=_line)
    for told in never[:MOST_TOLD]:
        report.warn(told.place, told.fact, told.fix)
    if rest := never[MOST_TOLD:]:
        names = listed([told.name for told in rest])
        report.warn(
            replace(rest[0].place, text=""),
            f"and {len(rest)} more do nothing here: {names}",
            "remove them; docs/settings.md says where each acts",
        )
    for told in partly[:MOST_TOLD]:
        report.note(replace(told.place, text=""), told.fact)
    if rest := partly[MOST_TOLD:]:
        names = listed([told.name for told in rest])
        report.note(
            replace(rest[0].place, text=""), f"and {len(rest)} more act in a part alone: {names}"
        )


def _line(told: _Told) -> tuple[str, int, int]:
    return told.place.file, told.place.line, told.place.column
