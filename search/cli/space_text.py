"""Domains and conditions as a person reads them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from search.cli.figures import setting
from search.space.domains import (
    Branch,
    Choice,
    Condition,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    Param,
)
from search.training.settings.core import CORE

_CORE = frozenset(row.name for row in CORE)


def folded(defaults: Sequence[str]) -> tuple[list[str], str]:
    """Which settings at their default get a line each, and a line for all the others;
    empty where there are none."""
    others = sum(name not in _CORE for name in defaults)
    line = f"and {others} more at their defaults, see docs/settings.md" if others else ""
    return [name for name in defaults if name in _CORE], line


def domain_text(domain: Domain) -> str:
    """E.g. ``0.0003 .. 0.03, log``, ``0 .. 5``, ``none | light``, ``32``."""
    match domain:
        case Fixed(value=value):
            return setting(value)
        case Choice(choices=choices):
            return " | ".join(setting(value) for value in choices)
        case IntRange(low=low, high=high, step=step, log=log):
            parts = [f"{low} .. {high}"]
            parts += [f"step {step}"] if step != 1 else []
        case FloatRange(low=low, high=high, steps=steps, log=log):
            parts = [f"{setting(low)} .. {setting(high)}"]
            parts += [f"{steps} steps"] if steps is not None else []
    return ", ".join([*parts, *(["log"] if log else [])])


def condition_text(condition: Condition) -> str:
    """E.g. ``unfreeze_depth >= 1``, ``backbone is resnet50 or vit_b_16``."""
    name = condition.param
    if condition.values is not None:
        return f"{name} is {' or '.join(setting(value) for value in condition.values)}"
    if condition.min is not None and condition.max is not None:
        return f"{setting(condition.min)} <= {name} <= {setting(condition.max)}"
    if condition.min is not None:
        return f"{name} >= {setting(condition.min)}"
    assert condition.max is not None
    return f"{name} <= {setting(condition.max)}"


def param_rows(param: Param) -> list[list[str]]:
    """A row of name and domain, with its condition, for each branch of a param."""
    return [
        [param.name if index == 0 else "", domain_text(branch.domain) + _when(branch, index)]
        for index, branch in enumerate(param.branches)
    ]


def _when(branch: Branch, index: int) -> str:
    if branch.when:
        return "   when " + " and ".join(condition_text(each) for each in branch.when)
    return "   otherwise" if index else ""
