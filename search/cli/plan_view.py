"""The text of ``search plan``. Pure: a :class:`Plan` in, lines out."""

from __future__ import annotations

from search.cli.block_rates import rate_lines
from search.cli.blocks_view import block_lines
from search.cli.columns import GAP, align, bold, dim, fits, indent
from search.cli.figures import duration, millions, setting, settings
from search.cli.plan_facts import Plan
from search.cli.space_text import folded, param_rows
from search.cli.wrapping import flat, hanging, next_lines, within, wrapped
from search.problems import printable
from search.space.domains import Param
from search.space.settings import Value
from search.space.spec import StudySpec
from search.training.config import SETTINGS

_INDENT = 2


def plan_lines(plan: Plan, *, width: int | None = None, blocks: bool = False) -> list[str]:
    """All of it; nothing in it can move a terminal's cursor.

    Args:
        plan: What to say.
        width: Cells of a line, below which what is longer goes on; None is without
            a limit, a line each.
        blocks: Say also which modules each block is.
    """
    inner = within(width, _INDENT)
    sections = [
        brief_lines(plan, width=width),
        ["space", *indent(_space(plan, inner))],
        _first(plan, inner),
        rate_lines(plan.spec, width=width),
        _backbones(plan, width),
        wrapped(_resources(plan), width=width, rest=GAP),
        _places(plan, width),
        block_lines([row.info for row in plan.backbones], width=width) if blocks else [],
        next_lines([[plan.next_command, "starts it, or goes on with it"]], width=width),
    ]
    lines: list[str] = []
    for section in sections:
        if section:
            lines += [*([""] if lines else []), *section]
    return lines


def brief_lines(plan: Plan, *, width: int | None = None) -> list[str]:
    """What is searched and how many epochs that is; ``search run`` opens with it.
    ``width`` is that of :func:`plan_lines`."""
    spec, expected = plan.spec, plan.expected
    trials = (
        "any number of trials" if spec.budget.trials is None else f"{spec.budget.trials} trials"
    )
    minutes = "" if spec.budget.minutes is None else f" or {duration(spec.budget.minutes * 60)}"
    streak = spec.budget.stop_after
    stop = "" if streak is None else f" or {streak} in a row without a better one"
    how = spec.sampler.name + (" + asha" if spec.scheduler.name == "asha" else "")
    goal = f"{spec.direction} {spec.objective}"
    heading = f"{printable(spec.name)}: {trials}{minutes}{stop}, {how}, {goal}"
    lines = [bold(line) for line in wrapped(heading, width=width, rest=GAP)]
    if expected is None:
        decides = "results decide" if spec.budget.minutes is None else "minutes decide"
        lines.append(f"at most {spec.epochs.max} epochs a trial; the {decides} how many")
        return [*lines, *_patience(spec, width)]
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
        *indent(flat(hanging(rows, width=within(width, _INDENT), right=(0, 1)))),
        f"about {expected.epochs} epochs, at most {most} (no trial stopped)",
        *_patience(spec, width),
    ]


def _patience(spec: StudySpec, width: int | None) -> list[str]:
    """When trials end themselves; how many will is not in the estimate."""
    if spec.patience is None:
        return []
    metric = "loss" if spec.patience.metric == "loss" else spec.objective
    count = spec.patience.epochs
    plural = "" if count == 1 else "s"
    text = f"fewer where a trial ends itself: {metric} not improved for {count} epoch{plural}"
    return wrapped(text, width=width, rest=GAP)


def _space(plan: Plan, width: int | None) -> list[str]:
    space = plan.spec.space
    rows = [row for param in space.params for row in _rows(plan, param)]
    named = len(rows)
    absent, others = folded([name for name in SETTINGS if name not in space])
    rows += [[name, f"{setting(SETTINGS[name].default)}   default"] for name in absent]
    rows = [[printable(cell) for cell in row] for row in rows]
    if not fits(align(rows), width):
        rows = [[row[0], (GAP + " ").join(row[1:])] for row in rows]
    blocks = hanging(rows, width=width)
    return [*flat(blocks[:named]), *(dim(line) for line in [*flat(blocks[named:]), others] if line)]


def _rows(plan: Plan, param: Param) -> list[list[str]]:
    """The param's rows; with the extended file, or the flag, that it comes from."""
    rows = param_rows(param)
    origin = plan.origins.get(param.name, "")
    if origin in plan.extends or (plan.extends and origin.startswith("--")):
        rows[0].append(origin)
    return rows


def _first(plan: Plan, width: int | None) -> list[str]:
    spec = plan.spec
    if not spec.first:
        return []
    names = [param.name for param in spec.space.params if _varies(plan, param.name)]
    rows = []
    for index, pairs in enumerate(spec.first):
        point: dict[str, Value] = dict(pairs)
        label = "default" if index == 0 and spec.default_first else f"{index + 1}"
        rows.append([label, printable(settings(point, names))])
    return ["tried first", *indent(flat(hanging(rows, width=width, gap=len(GAP))))]


def _varies(plan: Plan, name: str) -> bool:
    values = {dict(pairs).get(name) for pairs in plan.spec.first}
    return name == "backbone" or len(values) > 1 or _is_open(plan, name)


def _is_open(plan: Plan, name: str) -> bool:
    from search.space.domains import Fixed

    branches = plan.spec.space[name].branches
    return len(branches) > 1 or not isinstance(branches[0].domain, Fixed)


def _backbones(plan: Plan, width: int | None) -> list[str]:
    rows = [["backbone", "size (px)", "params (M)", "weights", ""]]
    rows += [
        [
            row.info.name,
            ", ".join(f"{size}" for size in row.sizes),
            millions(row.info.parameters),
            printable(row.tag),
            printable(row.where),
        ]
        for row in plan.backbones
    ]
    return flat(hanging(rows, width=width, right=(1, 2)))


def _resources(plan: Plan) -> str:
    machine = plan.machine
    return (
        f"this machine: {_count(machine.cpus, 'core')}, {_count(machine.gpus, 'GPU')}; "
        f"{_count(plan.concurrency, 'trial')} at once"
    )


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _places(plan: Plan, width: int | None) -> list[str]:
    rows = [[what, printable(where)] for what, where in plan.places]
    return flat(hanging(rows, width=width))
