"""Which trials keep their weights, and the tidying of those that do not.

A trial that may go on keeps all of its checkpoints. One that is settled never goes on:
the best epoch's weights are all that is read of it again, so what it would go on from
(the optimiser's state, twice) is deleted wherever its weights stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from search.study.records import State, StudyView
from search.tuning.belonging import owned
from search.tuning.job import TRIALS, trial_folder

_TO_GO_ON = ("last*.safetensors", ".last.*.part")
"""What ``training/checkpoint.py`` writes for a trial to go on from, whole or cut short."""


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
    """Delete what no trial needs any more, in all folders that say that they are the
    study's: the checkpoints of settled trials that are not kept, and of those that are
    kept all but the best. What a crash leaves, the next call deletes.

    Args:
        view: The study as it is committed: nothing else makes a trial settled.
        homes: Its folders.
        keep: How many of the best trials keep their weights.
        default: Number of the default settings' trial, if there is one.

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
        elif trial.state.settled:
            for folder in there:
                _forget_the_way(folder)
    return tuple(deleted)


def _forget_the_way(folder: Path) -> None:
    """Delete what a trial would go on from; its best weights stay."""
    for pattern in _TO_GO_ON:
        for file in folder.glob(pattern):
            with suppress(OSError):  # it is room alone: the next trial that settles tries again
                file.unlink()
