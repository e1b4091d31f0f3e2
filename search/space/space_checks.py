"""What ties the keys of a space together: conditions, reach, image sizes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet

from search.problems import Place
from search.space.domains import Choice, Domain, Fixed, FloatRange, IntRange
from search.space.nodes import listed
from search.space.placed import Known, PlacedBranch, PlacedParam, PlacedSpace
from search.space.points import contains
from search.space.reach import dead_branches, joint, meets
from search.space.report import Report
from search.space.scalars import plain
from search.space.settings import SizeRule, Value


def check_alike(param: PlacedParam, report: Report) -> None:
    """Several domains of one key share kind and log, so that a sampler can learn."""
    first: PlacedBranch | None = None
    for index, branch in enumerate(param.branches):
        if index and not param.branches[index - 1].when:
            report.error(
                branch.place,
                f"{param.name}: this domain is never used, the one before it has no condition",
                "put the domain without `when` last",
            )
        if isinstance(branch.domain, Fixed):
            continue
        if first is None:
            first = branch
            continue
        one, other = _shape(first), _shape(branch)
        if one != other:
            report.error(
                branch.place,
                f"{param.name}: the domains of one key share kind and log, "
                f"this is {other}, the first is {one}",
                f"make both {one}",
            )


def _shape(branch: PlacedBranch) -> str:
    match branch.domain:
        case IntRange(log=log):
            return f"int{', log: true' if log else ''}"
        case FloatRange(log=log):
            return f"float{', log: true' if log else ''}"
        case Choice():
            return "a choice"
        case Fixed():
            return "a value"


def check_conditions(
    param: PlacedParam,
    params: list[PlacedParam],
    report: Report,
    *,
    meant: AbstractSet[str],
    lenient: bool,
) -> None:
    """Each condition names a key of the space, and values it can take; a condition
    of the file need not where it is ``lenient``, one of a flag always. ``meant`` are keys
    that are there, misspelt."""
    by_name = {other.name: other for other in params}
    for branch in param.branches:
        for placed in branch.when:
            name = placed.condition.param
            strict = report.strict(placed.place, lenient=lenient)
            if name not in by_name:
                if placed.place.file in report.inherited or name in meant:
                    continue
                report.error(
                    placed.place,
                    f"when of {param.name}: {name} is not in the space",
                    f"add {name} to the space",
                )
                continue
            domains = [other.domain for other in by_name[name].branches]
            if not strict or not by_name[name].sound:
                continue
            for value, place in placed.values:
                if not any(contains(domain, value) for domain in domains):
                    report.error(
                        place,
                        f"when of {param.name}: {name} is never {plain(value)}",
                        _possible(by_name[name]),
                    )
            in_range = any(meets(domain, placed.condition) for domain in domains)
            if placed.condition.values is None and not in_range:
                report.error(
                    placed.place,
                    f"when of {param.name}: {name} is never in this range",
                    _possible(by_name[name]),
                )


def _possible(param: PlacedParam) -> str:
    words = []
    for branch in param.branches:
        match branch.domain:
            case Fixed(value=value):
                words.append(plain(value))
            case Choice(choices=choices):
                words += [plain(choice) for choice in choices]
            case IntRange(low=low, high=high) | FloatRange(low=low, high=high):
                words.append(f"{plain(low)} to {plain(high)}")
    return f"{param.name} is one of {listed(words)}"


def needs(param: PlacedParam) -> frozenset[str]:
    """The params that decide whether ``param`` exists."""
    return frozenset(placed.condition.param for branch in param.branches for placed in branch.when)


def ordered_params(
    params: list[PlacedParam], report: Report
) -> tuple[tuple[PlacedParam, ...], set[str]]:
    """Params after those they depend on, else in the order of the text.

    Those that hang on a circle are reported, come last and are named beside.
    """
    names = {param.name for param in params}
    done: list[PlacedParam] = []
    waiting = list(params)
    while waiting:
        placed = {param.name for param in done}
        ready = next((param for param in waiting if needs(param) & names <= placed), None)
        if ready is None:
            _report_circle(waiting, report)
            return (*done, *waiting), {param.name for param in waiting}
        done.append(ready)
        waiting.remove(ready)
    return tuple(done), set()


def _report_circle(waiting: list[PlacedParam], report: Report) -> None:
    """Follow the conditions from the first waiting param until one comes again."""
    stuck = {param.name: param for param in waiting}
    path = [waiting[0].name]
    while path[-1] not in path[:-1]:
        path.append(min(needs(stuck[path[-1]]) & set(stuck)))
    circle = path[path.index(path[-1]) :]
    place = next(
        placed.place
        for branch in stuck[circle[0]].branches
        for placed in branch.when
        if placed.condition.param == circle[1]
    )
    report.error(
        place,
        f"conditions in a circle: {' depends on '.join(circle)}",
        f"remove the condition on {circle[1]}",
    )


def check_reach(space: PlacedSpace, report: Report) -> None:
    """Every branch is in force at some point of the space."""
    bare = space.space
    for param in space.params:
        for index, holds in dead_branches(bare, param.name).items():
            branch = param.branches[index]
            place = branch.when_place or branch.place
            if not report.strict(place, lenient=False):
                continue
            if holds:
                report.error(
                    place,
                    f"{param.name}: this domain is never used, one before it always holds first",
                    "put it before the others, or remove it",
                )
            else:
                report.error(
                    place,
                    f"{param.name}: these conditions can never hold together",
                    "remove one of them",
                )


def check_sizes(space: PlacedSpace, known: Known, report: Report) -> None:
    """Every backbone takes every image size that the space pairs it with.

    A size of 0 is the backbone's own. One problem for each size that does not
    fit, or one for a whole range, naming the backbones.
    """
    if "image_size" not in space:
        return
    settings = known.settings
    rules = known.sizes

    def telling(name: str, value: Value) -> Hashable:
        if name == "backbone":
            return value
        if name == "image_size" and isinstance(value, int):
            return tuple(fits(rule, value) for rule in distinct)
        return None

    listed_ones = (
        [value for branch in space["backbone"].branches for value, _ in branch.listed]
        if "backbone" in space
        else [settings["backbone"].default]
    )
    distinct = list({rules[str(name)]: None for name in listed_ones if name in rules})
    refused: dict[Place, dict[str, int]] = {}
    domains: dict[Place, Domain] = {}
    for point in joint(space.space, ["backbone", "image_size"], telling).points:
        size = int(point.get("image_size", settings["image_size"].default))
        backbone = str(point.get("backbone", settings["backbone"].default))
        if backbone in rules and not fits(rules[backbone], size):
            branch, place = _where(space["image_size"], point, size)
            refused.setdefault(place, {}).setdefault(backbone, size)
            domains[place] = branch.domain
    for place, sizes in refused.items():
        name, size = next(iter(sizes.items()))
        report.error(
            place,
            f"image_size: {listed(tuple(sizes), 4)} cannot take {size}, only {_takes(rules[name])}",
            _fitting(domains[place], size, [rules[name] for name in sizes]),
        )


def _takes(rule: SizeRule) -> str:
    if rule.maximum is not None and rule.nearest(rule.minimum) == rule.maximum:
        return f"{rule.maximum}"
    if rule.multiple == 1:
        return f"sizes from {rule.minimum} up"
    return f"multiples of {rule.multiple} from {rule.nearest(rule.minimum)} up"


def _fitting(domain: Domain, size: int, rules: list[SizeRule]) -> str:
    """What to write instead of ``size`` or of the range that it is in."""
    own = "0 for each backbone's own size"
    if any(rule.maximum is not None for rule in rules):
        return own
    step = math.lcm(*(rule.multiple for rule in rules))
    least = -(-max(rule.minimum for rule in rules) // step) * step
    if isinstance(domain, IntRange):
        low = max(least, -(-domain.low // step) * step)
        high = domain.high // step * step
        return f"{{int: [{low}, {high}], step: {step}}}" if low < high else own
    return f"{max(least, (2 * size + step) // (2 * step) * step)}, or {own}"


def fits(rule: SizeRule, size: int) -> bool:
    """Whether a backbone takes ``size``, 0 being its own."""
    return size == 0 or rule.accepts(size)


def _where(param: PlacedParam, point: Mapping[str, Value], size: int) -> tuple[PlacedBranch, Place]:
    """The branch in force at ``point``, and where ``size`` stands in it."""
    branch = next(
        branch
        for branch in param.branches
        if all(placed.condition.holds(point) for placed in branch.when)
    )
    return branch, next((place for value, place in branch.listed if value == size), branch.place)
