"""Whether what lies in a folder is of this very study, and the refusal where it is not.

The folder's owner file decides (``study/owner.py``). A folder without one was made
before there were any: it is a study's when all trials in it are trials of that study,
with the figures that its record has. Nothing is written here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.problems import Exit, fail
from search.study.artifacts import ARTIFACTS
from search.study.owner import OWNER, UUID, another_name, owner_of, storage_named
from search.study.records import StudyView, TrialView
from search.tuning.job import TRIALS

_CURVES = "curves.json"


def belongs(folder: Path, view: StudyView) -> bool:
    """Whether a study may use what is in a folder; one that holds nothing is anybody's."""
    owner = owner_of(folder)
    if owner is not None:
        return owner.uuid == view.attributes.get(UUID)
    return not _remains(folder) or _fits(folder, view)


def owned(folder: Path, view: StudyView) -> bool:
    """Whether a folder says itself that it is the study's: only then is anything deleted."""
    owner = owner_of(folder)
    return owner is not None and owner.uuid == view.attributes.get(UUID)


def refuse_anothers(folder: Path, study: str, view: StudyView | None, *, storage: str) -> None:
    """Refuse a folder with the models of another study, before anything is done to it.

    Args:
        folder: Where a study is to live.
        study: Its name.
        view: The study as its storage has it; None: it is to be made.
        storage: URL of the storage.

    Raises:
        SearchError: Exit.CONFLICT, naming the other database if it is known.
    """
    fact = anothers(folder, study, view, storage=storage)
    if not fact:
        return
    name = another_name(study, _taken(folder.parent, storage))
    fix = f"--name {name}, or, if those models are not needed: rm -r {shlex.quote(str(folder))}"
    owner = owner_of(folder)
    if owner is not None and not owner.uuid:
        fix = f"--name {name}, or, if it is this study's: rm {shlex.quote(str(folder / OWNER))}"
    raise fail(fact, fix=fix, status=Exit.CONFLICT)


def anothers(folder: Path, study: str, view: StudyView | None, *, storage: str) -> str:
    """Whose the models in a folder are, in a sentence; empty where they are the study's.
    Arguments as for :func:`refuse_anothers`."""
    owner, here = owner_of(folder), storage_named(storage)
    nothing = owner is None and not _remains(folder)
    if nothing or (view is not None and belongs(folder, view)):
        return ""
    if owner is None and view is not None:
        return f"{folder} holds trials that are not those of {study} in {here}"
    if owner is None:
        return f"{folder} holds the models of an earlier study, which is not in {here}"
    if not owner.uuid:
        return f"{folder / OWNER} is damaged, so nobody knows whose models are beside it"
    if owner.storage == here:
        return f"{folder} holds the models of an earlier study {owner.study}, gone from {here}"
    return f"{folder} holds the models of another study, {owner.study} in {owner.storage}"


def _taken(studies: Path, storage: str) -> set[str]:
    """Names that a folder or a record has."""
    from search.study.views import list_studies

    folders = {path.name for path in studies.iterdir()} if studies.is_dir() else set()
    return folders | {study.name for study in list_studies(storage)}


def _remains(folder: Path) -> bool:
    """Whether anything of a study is left in a folder. Its image table is made anew
    by every run, so it does not count."""
    places = (folder / TRIALS, folder / ARTIFACTS, folder / "test")
    return any(any(_entries(place)) for place in places) or any(folder.glob("export*"))


def _fits(folder: Path, view: StudyView) -> bool:
    """Whether all that is left in a folder can only be this study's."""
    trials = {trial.number: trial for trial in view.trials}
    if not trials:
        return False
    for place in (folder / TRIALS, folder / ARTIFACTS):
        for entry in _entries(place):
            trial = trials.get(int(entry.name)) if entry.name.isdecimal() else None
            if trial is None or not _same_figures(entry / _CURVES, trial, view.objective):
                return False
    return True


def _same_figures(file: Path, trial: TrialView, objective: str) -> bool:
    """Whether a trial's own figures are those of the record, as far as both have them."""
    try:
        epochs: list[dict[str, Any]] = json.loads(file.read_bytes())["epochs"]
        found = {n: each["metrics"].get(objective) for n, each in enumerate(epochs, start=1)}
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return all(value is None or trial.curve.get(n, value) == value for n, value in found.items())


def _entries(place: Path) -> Iterator[Path]:
    """What is in a folder, but for what a cut move left."""
    if place.is_dir():
        yield from (each for each in place.iterdir() if not each.name.startswith("."))
