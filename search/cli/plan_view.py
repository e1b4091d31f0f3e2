"""The text of ``search plan``. Pure: a :class:`Plan` in, lines out."""

from __future__ import annotations

from search.cli.block_rates import rate_lines
from search.cli.columns import align, bold, dim, indent
from search.cli.figures import duration, millions, setting, settings
from search.cli.plan_facts import Plan
from search.cli.space_text import folded, param_rows
from search.problems import printable
from search.space.domains import Param
from search.space.settings import Value
from search.space.spec import StudySpec
from search.training.config import SETTINGS


def plan_lines(plan: Plan) -> list[str]:
    """All of it, a line each; nothing in it can move a terminal's cursor."""
    sections = [
        brief_lines(plan),
        ["space", *indent(_space(plan))],
        _first(plan),
        rate_lines(plan.spec),
        _backbones(plan),
        _resources(plan),
        _places(plan),
        ["next", *indent(align([[plan.next_command, "starts it, or goes on with it"]]))],
    ]
    lines: list[str] = []
    for section in sections:
        if section:
            lines += [*([""] if lines else []), *section]
    return lines


def brief_lines(plan: Plan) -> list[str]:
    """What is searched and how many epochs that is; ``search run`` opens with it."""
    spec, expected = plan.spec, plan.expected
    trials = (
        "any number of trials" if spec.budget.trials is None else f"{spec.budget.trials} trials"
    )
    minutes = "" if spec.budget.minutes is None else f" or {duration(spec.budget.minutes * 60)}"
    streak = spec.budget.stop_after
    stop = "" if streak is None else f" or {streak} in a row without a better one"
    how = spec.sampler.name + (" + asha" if spec.scheduler.name == "asha" else "")
    goal = f"{spec.direction} {spec.objective}"
    lines = [bold(f"{printable(spec.name)}: {trials}{minutes}{stop}, {how}, {goal}")]
    if expected is None:
        decides = "results decide" if spec.budget.minutes is None else "minutes decide"
        lines.append(f"at most {spec.epochs.max} epochs a trial; the {decides} how many")
        return [*lines, *_patience(spec)]
    rows = [["epoch", "trials", f"(mean of {plan.simulations} simulated searches, an estimate)"]]
    last = len(expected.rungs) - 1
    rows += [
        [f"{epoch}", f"{count:.0f}", "complete" if index == last else ""]
        for index, (epoch, count) in enumerate(zip(expected.rungs, expected.trials, strict=True))
    ]
    assert spec.budget.trials is not None
    most = spec.budget.trials * spec.epochs.max
    return [
        *lines,
        *indent(align(rows, right=(0, 1))),
        f"about {expected.epochs} epochs, at most {most} (no trial stopped)",
        *_patience(spec),
    ]


def _patience(spec: StudySpec) -> list[str]:
    """When trials end themselves; how many will is not in the estimate."""
    if spec.patience is None:
        return []
    metric = "loss" if spec.patience.metric == "loss" else spec.objective
    count = spec.patience.epochs
    plural = "" if count == 1 else "s"
    return [f"fewer where a trial ends itself: {metric} not improved for {count} epoch{plural}"]


def _space(plan: Plan) -> list[str]:
    space = plan.spec.space
    rows = [row for param in space.params for row in _rows(plan, param)]
    named = len(rows)
    absent, others = folded([name for name in SETTINGS if name not in space])
    rows += [[name, f"{setting(SETTINGS[name].default)}   default"] for name in absent]
    lines = [printable(line) for line in align(rows)]
    return [*lines[:named], *(dim(line) for line in [*lines[named:], others] if line)]


def _rows(plan: Plan, param: Param) -> list[list[str]]:
    """The param's rows; with the extended file, or the flag, that it comes from."""
    rows = param_rows(param)
    origin = plan.origins.get(param.name, "")
    if origin in plan.extends or (plan.extends and origin.startswith("--")):
        rows[0].append(origin)
    return rows


def _first(plan: Plan) -> list[str]:
    spec = plan.spec
    if not spec.first:
        return []
    names = [param.name for param in spec.space.params if _varies(plan, param.name)]
    rows = []
    for index, pairs in enumerate(spec.first):
        point: dict[str, Value] = dict(pairs)
        label = "default" if index == 0 and spec.default_first else f"{index + 1}"
        rows.append([label, settings(point, names)])
    return ["tried first", *indent([printable(line) for line in align(rows)])]


def _varies(plan: Plan, name: str) -> bool:
    values = {dict(pairs).get(name) for pairs in plan.spec.first}
    return name == "backbone" or len(values) > 1 or _is_open(plan, name)


def _is_open(plan: Plan, name: str) -> bool:
    from search.space.domains import Fixed

    branches = plan.spec.space[name].branches
    return len(branches) > 1 or not isinstance(branches[0].domain, Fixed)


def _backbones(plan: Plan) -> list[str]:
    rows = [["backbone", "size (px)", "params (M)", "weights", ""]]
    rows += [
        [
            row.info.name,
            ", ".join(f"{size}" for size in row.sizes),
            millions(row.info.parameters),
            row.tag,
            row.where,
        ]
        for row in plan.backbones
    ]
    return [printable(line) for line in align(rows, right=(1, 2))]


def _resources(plan: Plan) -> list[str]:
    machine = plan.machine
    return [
        f"this machine: {_count(machine.cpus, 'core')}, {_count(machine.gpus, 'GPU')}; "
        f"{_count(plan.concurrency, 'trial')} at once"
    ]


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _places(plan: Plan) -> list[str]:
    rows = [[what, where] for what, where in plan.places]
    return [printable(line) for line in align(rows)]
