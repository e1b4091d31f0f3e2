"""Trials of a study, a row each, as ``search status`` shows them. Pure.

On a terminal settings from the end of a row give way, counted as ``+2``; a pipe
gets all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from search.cli.figures import main_first
from search.cli.fitting import Column, fitted
from search.space.figure import metric
from search.study.records import StudyView, TrialView

_ALWAYS = ("backbone", "augmentation")


def leaderboard(study: StudyView, trials: Sequence[TrialView], *, width: int | None) -> list[str]:
    """A heading, and what each trial came to; ``width`` in cells, None without a limit."""
    objective = study.objective
    columns = [
        *_which(trials, objective, [metric(each.best_value, objective) for each in trials]),
        Column(
            head="best epoch",
            short="at",
            cells=tuple(f"{each.best_epoch}" for each in trials),
            right=True,
            worth=0,
        ),
    ]
    return fitted(columns, [each.params for each in trials], _varying(study), width=width)


def unsettled(study: StudyView, trials: Sequence[TrialView], *, width: int | None) -> list[str]:
    """The same of trials that run or wait, with where they are."""
    objective = study.objective
    last = [max(each.curve, default=None) for each in trials]
    now = [
        "-" if epoch is None else metric(each.curve[epoch], objective)
        for each, epoch in zip(trials, last, strict=True)
    ]
    columns = [
        *_which(trials, objective, now),
        Column(
            head="epoch",
            cells=tuple("-" if epoch is None else f"{epoch}" for epoch in last),
            right=True,
        ),
        Column(
            head="best",
            cells=tuple(metric(each.best_value, objective) for each in trials),
            right=True,
            worth=0,
        ),
    ]
    return fitted(columns, [each.params for each in trials], _varying(study), width=width)


def _which(trials: Sequence[TrialView], objective: str, values: Sequence[str]) -> list[Column]:
    """What every such table begins with: the trial, its state, its value."""
    return [
        Column(head="trial", cells=tuple(f"{each.number}" for each in trials), right=True),
        Column(head="state", cells=tuple(each.state.value for each in trials)),
        Column(head=objective, short="value", cells=tuple(values), right=True),
    ]


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
