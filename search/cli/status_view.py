"""The text of ``search status``. Pure: views in, lines out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from search.cli.columns import align, bold, dim, fits, indent
from search.cli.curve_view import curve_lines
from search.cli.figures import duration, setting
from search.cli.space_text import folded
from search.cli.status_document import (
    LEADERBOARD,
    STATES,
    budget,
    counts,
    failures,
    measuring,
    running,
    seconds,
    settings_in_force,
)
from search.cli.trial_tables import leaderboard, unsettled
from search.cli.wrapping import flat, hanging, next_lines, within, wrapped
from search.problems import printable
from search.space.figure import metric
from search.study.records import NOTES, STOPPED_EARLY, State, StudyView, TrialView

if TYPE_CHECKING:
    from search.cli.started import GoingOn
    from search.study.holder import Holder

LAST_LINES = 40
"""Of a failure's log; --json has all of it."""


def studies_lines(
    studies: Sequence[StudyView], *, storage: str, flag: str, width: int | None = None
) -> list[str]:
    """A line for each study, the newest first; within ``width`` cells, where there are some,
    by leaving out states that no trial is in, then the objectives."""
    if not studies:
        return [
            f"no study in {printable(storage)}",
            "",
            *next_lines([["search run spaces/quick.yaml", "make one"]], width=width),
        ]
    rows = [["study", *(state.value for state in STATES), "best", "objective", "time"]]
    for study in studies:
        winner = study.winner
        rows.append(
            [
                printable(study.name),
                *(f"{count}" for count in counts(study).values()),
                metric(winner.best_value, study.objective) if winner else "-",
                study.objective,
                duration(seconds(study)),
            ]
        )
    newest = shlex.quote(printable(studies[0].name))
    lines = _narrowed(rows, width)
    commands = [[f"search status {newest}{flag}", "one study"]]
    commands.append([f"search dashboard{flag}", "browse them"])
    return [
        *lines,
        "",
        f"storage  {printable(storage)}",
        "",
        *next_lines(commands, width=width),
    ]


def _narrowed(rows: list[list[str]], width: int | None) -> list[str]:
    columns = list(range(len(rows[0])))
    states = range(1, len(STATES) + 1)
    empty = [index for index in states if all(row[index] == "0" for row in rows[1:])]
    for going in (*reversed(empty), len(STATES) + 2):
        if fits(align([[row[index] for index in columns] for row in rows]), width):
            break
        columns.remove(going)
    right = [place for place, index in enumerate(columns) if 1 <= index <= len(STATES) + 1]
    return align([[row[index] for index in columns] for row in rows], right=right)


def study_lines(
    study: StudyView,
    *,
    storage: str,
    flag: str,
    driver: Holder | None = None,
    going_on: GoingOn | None = None,
    width: int | None = None,
) -> list[str]:
    """Counts, budget, best, leaderboard and what runs.

    Args:
        study: Which one.
        storage: Where it is.
        flag: What a suggested command needs to find the storage.
        driver: Who runs it now.
        going_on: How it goes on, where nobody runs it and something is left to do.
        width: Cells of a line; None is without a limit.
    """
    name = shlex.quote(printable(study.name))
    lines = [bold(f"{printable(study.name)}: {study.direction} {study.objective}")]
    inner = within(width, 2)
    lines += _facts_of(
        [
            ["trials", ", ".join(f"{n} {state}" for state, n in counts(study).items() if n) or "0"],
            *_failure_rows(study),
            *_early_rows(study),
            ["budget", _budget_text(study)],
            *([["runs", _runs(study, driver)]] if driver is not None else []),
            *([["to go on", _missing(going_on)]] if going_on and going_on.missing else []),
            ["storage", printable(storage)],
        ],
        width,
    )
    ranked = study.ranked()
    if ranked:
        lines += ["", "leaderboard, complete trials first"]
        lines += indent(leaderboard(study, ranked[:LEADERBOARD], width=inner))
        if len(ranked) > LEADERBOARD:
            lines.append(f"  and {len(ranked) - LEADERBOARD} more")
    alive = running(study)
    if alive:
        lines += ["", "running and interrupted", *indent(unsettled(study, alive, width=inner))]
    lines += _results(study)
    commands = []
    if going_on is not None and not going_on.missing:
        commands.append([printable(going_on.command), "goes on with it"])
    if study.winner is not None:
        commands.append([f"search status {name} --trial {study.winner.number}{flag}", "the best"])
        commands.append([f"search export {name}{flag}", "its model as a folder"])
    failed = next((trial for trial in study.trials if trial.state is State.FAILED), None)
    if failed is not None:
        commands.append([f"search status {name} --trial {failed.number}{flag}", "why it failed"])
    if driver is not None:
        commands.append([f"search stop {name}{flag}", "end its run politely"])
    commands.append([f"search dashboard{flag}", "browse all trials"])
    return [*lines, "", *next_lines(commands, width=width)]


def trial_lines(
    study: StudyView,
    trial: TrialView,
    *,
    flag: str,
    no_weights: str = "",
    width: int | None = None,
) -> list[str]:
    """Settings, curve, why it ended, what its worker had to say, and its log.

    Args:
        study: The trial's.
        trial: Which one.
        flag: What a suggested command needs to find the storage.
        no_weights: Why there is no model of it; empty where there is one.
        width: Cells of a line, as for :func:`study_lines`; a log is left as it is.
    """
    rows = [["state", _state(trial)]]
    if trial.why:
        rows.append(["why", _one_line(trial.why)])
    if trial.best_value is not None:
        best = f"{study.objective} {metric(trial.best_value, study.objective)}"
        rows.append(["best", f"{best} at epoch {trial.best_epoch}"])
    rows += [[label, text] for label, text in _facts(trial)]
    has_model = trial.state in (State.COMPLETE, State.PRUNED)
    if has_model and no_weights:
        rows.append(["weights", printable(no_weights)])
    lines = [bold(f"{printable(study.name)} trial {trial.number}"), *_facts_of(rows, width)]
    lines += ["", "settings", *indent(_settings(trial))]
    if trial.curve:
        lines += ["", f"curve of {study.objective}", *indent(curve_lines(trial, study.objective))]
    notes = trial.attributes.get(NOTES, ())
    if notes:
        lines += ["", "notes"]
        for note in notes:
            lines += wrapped(_one_line(str(note)), width=width, first="  ", rest="    ")
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
    return [*lines, "", *next_lines(commands, width=width)]


def _facts_of(rows: list[list[str]], width: int | None) -> list[str]:
    return flat(hanging(rows, width=width))


def _failure_rows(study: StudyView) -> list[list[str]]:
    found = failures(study)
    text = ", ".join(f"{count} {reason}" for reason, count in found.items())
    return [["failed", text]] if found else []


def _runs(study: StudyView, driver: Holder) -> str:
    now = "; measures the best trial on the test set" if measuring(study) else ""
    return f"{printable(str(driver))}{now}"


def _missing(going_on: GoingOn) -> str:
    return f"{printable(going_on.missing)} is needed, which is not there seen from this folder"


def _early_rows(study: StudyView) -> list[list[str]]:
    """How many complete trials ended themselves before their last epoch."""
    complete = [trial for trial in study.trials if trial.state is State.COMPLETE]
    early = sum(bool(trial.attributes.get(STOPPED_EARLY)) for trial in complete)
    return [["stopped early", f"{early} of {len(complete)} complete"]] if early else []


def _budget_text(study: StudyView) -> str:
    limit = budget(study)
    trials, minutes = limit.trials, limit.minutes
    settled = sum(trial.state.settled for trial in study.trials)
    used = duration(seconds(study))
    first = f"{settled} of {trials} trials" if trials is not None else f"{settled} trials"
    second = f"{used} of {duration(minutes * 60)}" if minutes is not None else used
    return f"{first}, {second} used"


def _results(study: StudyView) -> list[str]:
    """The test figures, where the test set was opened for this winner."""
    stored = study.attributes.get("results")
    winner = study.winner
    if not isinstance(stored, dict) or winner is None or stored.get("trial") != winner.number:
        return []
    from search.cli.measures_view import has_intervals, with_interval
    from search.export.results import FinalResults

    results = FinalResults.from_json(stored)
    rows = [["best", with_interval(results.test, results.objective)]]
    rows += [
        [each.name, with_interval(each.test, results.objective)]
        for each in results.baselines
        if each.test is not None
    ]
    lines = indent(align(rows))
    intervals = ", 95 % intervals" if has_intervals(lines) else ""
    return ["", f"test {results.objective}, n {results.test.n}{intervals}", *lines]


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


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
