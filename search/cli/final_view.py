"""The end of a run: the best model, how sure that is, what to type next.

:class:`FinalDocument` is what the run came to; :func:`show_final` prints it and
:func:`to_json` is the document of ``search run --json``. Measures come from
``search.export.report`` and are only shown here.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cli.columns import align, bold, fits, indent, packed, terminal_width
from search.cli.figures import duration, main_first, setting_texts
from search.cli.measures_view import (
    calibration_error,
    class_lines,
    confusion_lines,
    difference,
    few_images,
    has_intervals,
    images,
    tells,
    with_interval,
)
from search.cli.wrapping import next_lines, wrapped
from search.problems import printable
from search.space.figure import metric
from search.space.settings import Value
from search.study.records import State

if TYPE_CHECKING:
    from search.export.report import Comparison, TestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The winner."""

    trial: int
    state: State
    """COMPLETE, or PRUNED when no trial completed."""
    value: float
    """The objective on validation data at ``epoch``."""
    epoch: int
    params: Mapping[str, Value]
    test: TestResult | None
    """None when the test could not be made; a note said why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the winner is measured against, on the same test images."""

    name: str
    """``default`` or ``linear_probe``."""
    test: TestResult
    comparison: Comparison | None
    """Winner minus this; None when the winner is this very trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalDocument:
    """What a study came to, so far."""

    study: str
    objective: str
    counts: Mapping[State, int]
    best: Best | None
    """None when no trial has a value."""
    baselines: tuple[Baseline, ...]
    storage: str
    """Without its password."""
    seconds: float
    """Wall time over all runs of the study: of its trials."""
    command: float = 0.0
    """Seconds that this command took, with what comes before and after the trials; 0 says
    nothing of it."""
    export: Path | None = None
    """The folder of the winner's model, as it should be typed."""
    runner_up: int | None = None
    """The trial that comes next and whose weights are kept, if there is one."""
    storage_flag: str = ""
    """What later commands need to find the study, with a space in front, e.g.
    `` --storage URL``; empty for the usual storage."""


def to_json(document: FinalDocument) -> dict[str, Any]:
    """The document of ``search run --json``; every value is JSON (NaN is null)."""
    best = document.best
    return {
        "study": document.study,
        "counts": {state.value: document.counts.get(state, 0) for state in _ORDER},
        "best": None
        if best is None
        else {
            "trial": best.trial,
            "value": _finite(best.value),
            "epoch": best.epoch,
            "params": dict(best.params),
            "test": _test(best.test),
        },
        "baselines": {
            each.name: {
                "test": _test(each.test),
                "difference": None if each.comparison is None else each.comparison.to_json(),
            }
            for each in document.baselines
        },
        "storage": document.storage,
        "seconds": round(document.seconds, 1),
        "command_seconds": round(document.command, 1),
    }


def show_final(document: FinalDocument) -> None:
    """Print the end of a run to stdout, to fit it where it is a terminal."""
    print("\n".join(final_lines(document, width=terminal_width())))


def final_lines(document: FinalDocument, *, width: int | None) -> list[str]:
    """The text of the end of a run, a line each.

    Args:
        document: What the run came to.
        width: Cells of a line. Text goes on in the next line, of tables what is
            worth least is left out; a number or a command is never broken. None
            is without a limit.
    """
    lines = ["", *wrapped(_heading(document), width=width, rest="  ")]
    best = document.best
    if best is None:
        unsettled = sum(count for state, count in document.counts.items() if not state.settled)
        none = "no trial has settled yet" if unsettled else "no trial has a value"
        lines += ["", f"{none}, so there is no best model"]
    else:
        lines += ["", *_best(best, document.objective, width)]
        if best.test is not None:
            measures = _measures(best.test, document, width)
            lines += ["", *measures, *_differences(document, width, above=has_intervals(measures))]
            if best.test.classes:
                lines += ["", *class_lines(best.test)]
            if best.test.cells:
                lines += ["", *confusion_lines(best.test, width=width)]
    return [*lines, "", *_next(document, width)]


_ORDER = (State.COMPLETE, State.PRUNED, State.FAILED, State.RUNNING, State.WAITING)


def _heading(document: FinalDocument) -> str:
    settled = sum(count for state, count in document.counts.items() if state.settled)
    parts = ", ".join(
        f"{document.counts[state]} {state.value}"
        for state in _ORDER
        if document.counts.get(state, 0)
    )
    whole = f"; this command took {duration(document.command)}" if document.command else ""
    return (
        f"{printable(document.study)}: {settled} settled"
        f"{f' ({parts})' if parts else ''} in {duration(document.seconds)}{whole}"
    )


def _best(best: Best, objective: str, width: int | None) -> list[str]:
    parts = [
        f"best  trial {best.trial}, epoch {best.epoch}:",
        f"validation {objective} {metric(best.value, objective)}",
    ]
    if best.state is not State.COMPLETE:
        parts.append(" (stopped early: no trial completed)")
    found = setting_texts(best.params, main_first(best.params))
    start = " " * 6
    return [
        *(bold(line) for line in packed(parts, width=width, rest=start, gap=" ")),
        *packed([printable(each) for each in found], width=width, first=start, rest=start),
    ]


def _measures(test: TestResult, document: FinalDocument, width: int | None) -> list[str]:
    """Where there is little room, intervals go: first the baselines', whose paired
    differences follow with theirs."""
    others = [each for each in document.baselines if each.comparison is not None]
    names = [document.objective, *(name for name in test.metrics if name != document.objective)]

    def lines(*, best: bool, baselines: bool) -> list[str]:
        rows = [["", "best", *(each.name for each in others)]]
        rows += [
            [
                name,
                with_interval(test, name) if best else metric(test.metrics.get(name), name),
                *(
                    with_interval(each.test, name)
                    if baselines
                    else metric(each.test.metrics.get(name), name)
                    for each in others
                ),
            ]
            for name in names
        ]
        if test.calibration is not None:
            rows.append(
                [
                    "calibration_error",
                    calibration_error(test, bounds=best),
                    *(calibration_error(each.test, bounds=baselines) for each in others),
                ]
            )
        return indent(align(rows))

    heading = f"test  {images(test)}, 95 % intervals"
    for shown in (lines(best=True, baselines=True), lines(best=True, baselines=False)):
        if fits(shown, width) and has_intervals(shown):
            return [heading, *shown]
    return [f"test  {images(test)}", *lines(best=False, baselines=False)]


_SCARCE = 10
"""Test images of a class below which a bootstrap within the class says too little: it
draws from what was seen, and a class that was right every time has no spread."""


def _differences(document: FinalDocument, width: int | None, *, above: bool) -> list[str]:
    """With a warning where they say too little; ``above`` where intervals were shown."""
    rows = []
    for each in document.baselines:
        if each.comparison is None:
            rows.append([f"best is {each.name}", "", ""])
        else:
            rows.append([f"best minus {each.name}", *difference(each.comparison)])
    if not rows:
        return []
    test = None if document.best is None else document.best.test
    scarce = [] if test is None else [each for each in test.classes if each.support < _SCARCE]
    few_groups = test is not None and 0 < test.fewest_units < _SCARCE
    if test is not None and (scarce or few_groups):
        rows = [[*row[:2], few_images(row[2], test.n)] for row in rows]
    lines = ["", f"paired differences of {document.objective}", *_verdicts(rows, width)]
    compared = [each.comparison for each in document.baselines if each.comparison is not None]
    if test is not None and compared:
        if all(each.within_noise or not tells(each) for each in compared):
            text = f"{test.n} test images cannot tell these apart; more test images may"
            lines += wrapped(text, width=width, rest="  ")
        if few_groups and not scarce:
            text = (
                f"warning: a class has only {test.fewest_units} independent groups of test images: "
                "too few to say how far these figures can be relied on"
            )
            lines += wrapped(text, width=width, rest="  ")
        if scarce:
            fewest = min(each.support for each in scarce)
            text = (
                f"warning: {len(scarce)} of {len(test.classes)} classes have fewer "
                f"than {_SCARCE} test images (the fewest: {fewest}): "
            ) + (
                "the intervals above are too narrow to be relied on"
                if above or has_intervals(lines)
                else "too few to say how far these figures can be relied on"
            )
            lines += wrapped(text, width=width, rest="  ")
    return lines


def _verdicts(rows: list[list[str]], width: int | None) -> list[str]:
    """Names, differences and what to make of them: beside them, or below."""
    lines = indent(align(rows))
    if fits(lines, width):
        return lines
    heads = indent(align([row[:2] for row in rows]))
    return [text for head, row in zip(heads, rows, strict=True) for text in (head, f"    {row[2]}")]


def _next(document: FinalDocument, width: int | None) -> list[str]:
    flag = document.storage_flag
    study = shlex.quote(document.study)
    rows = []
    if document.export is not None:
        folder = shlex.quote(str(document.export))
        rows.append([f"search predict {folder} IMAGE_OR_FOLDER...", "use the best model"])
    if document.runner_up is not None:
        command = f"search export {study} --trial {document.runner_up}{flag}"
        rows.append([command, "the second best trial's model"])
    rows.append([f"search status {study}{flag}", "all trials"])
    rows.append([f"search dashboard{flag}", "browse them"])
    return next_lines(rows, width=width)


def _test(test: TestResult | None) -> dict[str, float | None] | None:
    if test is None:
        return None
    return {name: _finite(value) for name, value in test.metrics.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
