"""A study or a trial by what the user typed."""

from __future__ import annotations

from search.problems import fail
from search.study.records import StudyView, TrialView


def find_study(url: str, name: str | None) -> StudyView:
    """The named study of a storage, or the newest.

    Raises:
        SearchError: If there is none.
    """
    from search.study.views import view

    return view(url, name)


def find_trial(study: StudyView, number: int) -> TrialView:
    """A trial by its number.

    Raises:
        SearchError: If the study has no such trial, with the numbers it has.
    """
    for trial in study.trials:
        if trial.number == number:
            return trial
    last = max((trial.number for trial in study.trials), default=None)
    raise fail(
        f"{study.name} has no trial {number}",
        fix=f"a number from 0 to {last}" if last is not None else f"search status {study.name}",
    )
