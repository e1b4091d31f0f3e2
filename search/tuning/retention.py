"""Which trials keep their weights, and the tidying of those that do not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from search.study.records import State, StudyView
from search.tuning.belonging import owned
from search.tuning.job import TRIALS, trial_folder


def keepers(view: StudyView, keep: int, default: int | None) -> frozenset[int]:
    """Numbers of the trials whose weights stay.

    Args:
        view: The study now.
        keep: How many of the best trials.
        default: Number of the default settings' trial, if there is one.

    Returns:
        Running and waiting trials, the best ``keep`` and the default one.
    """
    best = {trial.number for trial in view.ranked()[:keep]}
    unsettled = {
        trial.number for trial in view.trials if trial.state in (State.RUNNING, State.WAITING)
    }
    return frozenset(best | unsettled | ({default} if default is not None else set()))


def tidy(view: StudyView, homes: Sequence[Path], keep: int, default: int | None) -> tuple[int, ...]:
    """Delete the checkpoints of settled trials that are not kept, in all folders that
    say that they are the study's.

    Returns:
        The numbers of the trials whose folder was deleted.
    """
    kept = keepers(view, keep, default)
    deleted = []
    homes = [home for home in homes if owned(home, view)]
    for trial in view.trials:
        folders = [trial_folder(home / TRIALS, trial.number) for home in homes]
        there = [folder for folder in folders if folder.exists()]
        if trial.number not in kept and there:
            for folder in there:
                shutil.rmtree(folder, ignore_errors=True)
            deleted.append(trial.number)
    return tuple(deleted)
