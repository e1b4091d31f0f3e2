"""The text of ``search status``. Pure: views in, lines out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from search.cli.columns import align, bold, dim, indent
from search.cli.figures import duration, main_first, metric, setting, settings, spark
from search.cli.space_text import folded
from search.cli.status_document import (
    LEADERBOARD,
    STATES,
    budget,
    counts,
    failures,
    running,
    seconds,
    settings_in_force,
)
from search.problems import printable
from search.study.records import STOPPED_EARLY, State, StudyView, TrialView

if TYPE_CHECKING:
    from search.study.holder import Holder

LONGEST_CURVE = 60
"""Epochs of a sparkline; a longer curve is thinned."""
CURVE_ROWS = 12
"""Epochs of the table under it."""
_ALWAYS = ("backbone", "augmentation")
LAST_LINES = 40
"""Of a failure's log; --json has all of it."""


def studies_lines(studies: Sequence[StudyView], *, storage: str, flag: str) -> list[str]:
    """A line for each study, the newest first."""
    if not studies:
        return [
            f"no study in {printable(storage)}",
            "",
            *_next([["search run spaces/quick.yaml", "make one"]]),
        ]
    rows = [["study", *(state.value for state in STATES), "best", "objective", "time"]]
    for study in studies:
        winner = study.winner
        rows.append(
            [
                printable(study.name),
                *(f"{count}" for count in counts(study).values()),
                metric(winner.best_value) if winner else "-",
                study.objective,
                duration(seconds(study)),
            ]
        )
    newest = shlex.quote(printable(studies[0].name))
    lines = align(rows, right=range(1, 7))
    commands = [[f"search status {newest}{flag}", "one study"]]
    commands.append([f"search dashboard{flag}", "browse them"])
    return [*lines, "", f"storage  {printable(storage)}", "", *_next(commands)]


def study_lines(
    study: StudyView, *, storage: str, flag: str, driver: Holder | None = None
) -> list[str]:
    """Counts, budget, best, leaderboard and what runs; ``driver`` runs it now."""
    name = shlex.quote(printable(study.name))
    lines = [bold(f"{printable(study.name)}: {study.direction} {study.objective}")]
    lines += align(
        [
            ["trials", ", ".join(f"{n} {state}" for state, n in counts(study).items() if n) or "0"],
            *_failure_rows(study),
            *_early_rows(study),
            ["budget", _budget_text(study)],
            *([["runs", printable(str(driver))]] if driver is not None else []),
            ["storage", printable(storage)],
        ]
    )
    ranked = study.ranked()
    if ranked:
        lines += ["", "leaderboard, complete trials first"]
        lines += indent(_table(study, ranked[:LEADERBOARD]))
        if len(ranked) > LEADERBOARD:
            lines.append(f"  and {len(ranked) - LEADERBOARD} more")
    alive = running(study)
    if alive:
        lines += ["", "running and interrupted", *indent(_alive(study, alive))]
    lines += _results(study)
    commands = []
    if study.winner is not None:
        commands.append([f"search status {name} --trial {study.winner.number}{flag}", "the best"])
        commands.append([f"search export {name}{flag}", "its model as a folder"])
    failed = next((trial for trial in study.trials if trial.state is State.FAILED), None)
    if failed is not None:
        commands.append([f"search status {name} --trial {failed.number}{flag}", "why it failed"])
    if driver is not None:
        commands.append([f"search stop {name}{flag}", "end its run politely"])
    commands.append([f"search dashboard{flag}", "browse all trials"])
    return [*lines, "", *_next(commands)]


def trial_lines(
    study: StudyView, trial: TrialView, *, flag: str, no_weights: str = ""
) -> list[str]:
    """Settings, curve, why it ended and its log.

    Args:
        study: The trial's.
        trial: Which one.
        flag: What a suggested command needs to find the storage.
        no_weights: Why there is no model of it; empty where there is one.
    """
    rows = [["state", _state(trial)]]
    if trial.why:
        rows.append(["why", _one_line(trial.why)])
    if trial.best_value is not None:
        rows.append(
            ["best", f"{study.objective} {metric(trial.best_value)} at epoch {trial.best_epoch}"]
        )
    rows += [[label, text] for label, text in _facts(trial)]
    has_model = trial.state in (State.COMPLETE, State.PRUNED)
    if has_model and no_weights:
        rows.append(["weights", printable(no_weights)])
    lines = [bold(f"{printable(study.name)} trial {trial.number}"), *align(rows)]
    lines += ["", "settings", *indent(_settings(trial))]
    if trial.curve:
        lines += ["", f"curve of {study.objective}", *indent(_curve(trial))]
    detail = str(trial.attributes.get("detail") or "").rstrip()
    if detail:
        kept = detail.splitlines()
        left_out = len(kept) - LAST_LINES
        title = f"log (the last {LAST_LINES} of {len(kept)} lines)" if left_out > 0 else "log"
        lines += ["", title, *indent([printable(text) for text in kept[-LAST_LINES:]])]
    name = shlex.quote(printable(study.name))
    commands = [[f"search status {name}{flag}", "the whole study"]]
    if has_model and not no_weights:
        commands.insert(
            0, [f"search export {name} --trial {trial.number} --to DIR{flag}", "its model"]
        )
    return [*lines, "", *_next(commands)]


def _failure_rows(study: StudyView) -> list[list[str]]:
    found = failures(study)
    text = ", ".join(f"{count} {reason}" for reason, count in found.items())
    return [["failed", text]] if found else []


def _early_rows(study: StudyView) -> list[list[str]]:
    """How many complete trials ended themselves before their last epoch."""
    complete = [trial for trial in study.trials if trial.state is State.COMPLETE]
    early = sum(bool(trial.attributes.get(STOPPED_EARLY)) for trial in complete)
    return [["stopped early", f"{early} of {len(complete)} complete"]] if early else []


def _budget_text(study: StudyView) -> str:
    trials, minutes = budget(study)
    settled = sum(trial.state.settled for trial in study.trials)
    used = duration(seconds(study))
    first = f"{settled} of {trials} trials" if trials is not None else f"{settled} trials"
    second = f"{used} of {duration(minutes * 60)}" if minutes is not None else used
    return f"{first}, {second} used"


def _table(study: StudyView, trials: Sequence[TrialView]) -> list[str]:
    varying = _varying(study)
    rows = [["trial", "state", study.objective, "best epoch", "settings"]]
    rows += [
        [
            f"{trial.number}",
            trial.state.value,
            metric(trial.best_value),
            f"{trial.best_epoch}",
            printable(settings(trial.params, varying)),
        ]
        for trial in trials
    ]
    return align(rows, right=(0, 2, 3))


def _alive(study: StudyView, trials: Sequence[TrialView]) -> list[str]:
    varying = _varying(study)
    rows = [["trial", "state", study.objective, "epoch", "best", "settings"]]
    for trial in trials:
        last = max(trial.curve, default=None)
        rows.append(
            [
                f"{trial.number}",
                trial.state.value,
                "-" if last is None else metric(trial.curve[last]),
                "-" if last is None else f"{last}",
                metric(trial.best_value),
                printable(settings(trial.params, varying)),
            ]
        )
    return align(rows, right=(0, 2, 3, 4))


def _varying(study: StudyView) -> tuple[str, ...]:
    """Params with more than one value (or absence) over the trials; backbone first.
    The backbone and the augmentation say what a trial is, whether they vary or not."""
    names: dict[str, set[object]] = {}
    for trial in study.trials:
        for name in trial.params:
            names.setdefault(name, set())
    for name, seen in names.items():
        seen.update(trial.params.get(name) for trial in study.trials)
    chosen = [name for name, seen in names.items() if len(seen) > 1 or name in _ALWAYS]
    return main_first(chosen)


def _results(study: StudyView) -> list[str]:
    """The test figures, where the test set was opened for this winner."""
    stored = study.attributes.get("results")
    winner = study.winner
    if not isinstance(stored, dict) or winner is None or stored.get("trial") != winner.number:
        return []
    from search.cli.measures_view import with_interval
    from search.export.results import FinalResults

    results = FinalResults.from_json(stored)
    rows = [["best", with_interval(results.test, results.objective)]]
    rows += [
        [each.name, with_interval(each.test, results.objective)]
        for each in results.baselines
        if each.test is not None
    ]
    heading = f"test {results.objective}, n {results.test.n}, 95 % intervals"
    return ["", heading, *indent(align(rows))]


def _state(trial: TrialView) -> str:
    if trial.state is State.COMPLETE and trial.attributes.get(STOPPED_EARLY):
        return f"{trial.state.value} (stopped early)"
    if trial.reason is not None:
        return f"{trial.state.value} ({trial.reason.value})"
    return trial.state.value


def _facts(trial: TrialView) -> Iterable[tuple[str, str]]:
    known = trial.attributes
    trained, total = known.get("parameters_trained"), known.get("parameters_total")
    if isinstance(trained, int) and isinstance(total, int):
        yield "parameters", f"{trained:,} trained of {total:,}"
    if isinstance(known.get("seconds"), int | float):
        yield "time", duration(float(known["seconds"]))
    if isinstance(known.get("peak_memory_mb"), int | float):
        yield "peak memory", f"{float(known['peak_memory_mb']):.0f} MB"
    if isinstance(known.get("micro_batch"), int):
        why = "a whole batch did not fit the memory"
        yield "micro-batch", f"{known['micro_batch']} images at once: {why}"
    if known.get("host"):
        yield "host", printable(str(known["host"]))
    if trial.started is not None:
        yield "started", trial.started.isoformat(sep=" ", timespec="seconds")
    if trial.ended is not None:
        yield "ended", trial.ended.isoformat(sep=" ", timespec="seconds")


def _settings(trial: TrialView) -> list[str]:
    values = settings_in_force(trial)
    absent, others = folded([name for name in values if name not in trial.params])
    rows = [
        [name, setting(value), "" if name in trial.params else "default"]
        for name, value in values.items()
        if name in trial.params or name in absent
    ]
    lines = [printable(line) for line in align(rows)]
    shown = [dim(line) if row[2] else line for row, line in zip(rows, lines, strict=True)]
    return [*shown, dim(others)] if others else shown


def _curve(trial: TrialView) -> list[str]:
    points = sorted(trial.curve.items())
    step = -(-len(points) // LONGEST_CURVE)
    drawn = [value for _, value in points[::step]]
    shown = points if len(points) <= CURVE_ROWS else _thinned(trial, points)
    rows = [["epoch", *(f"{epoch}" for epoch, _ in shown)]]
    rows.append(["value", *(metric(value) for _, value in shown)])
    return [spark(drawn), *align(rows, right=range(1, len(shown) + 1))]


def _thinned(trial: TrialView, points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """The first, the last, the best and some between."""
    step = -(-len(points) // (CURVE_ROWS - 2))
    kept = {points[0][0], points[-1][0], *(epoch for epoch, _ in points[::step])}
    if trial.best_epoch is not None:
        kept.add(trial.best_epoch)
    return [point for point in points if point[0] in kept]


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _next(rows: list[list[str]]) -> list[str]:
    return ["next", *indent(align(rows))]
