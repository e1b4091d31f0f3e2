"""The folders that a study has lived in, and where each trial's checkpoints are.

``checkpoints.dir`` may differ from run to run. What an earlier run wrote stays
where it is, so the study remembers every folder (attribute ``folders``) and a
trial is looked for in all of them that are still its own. A trial that goes on is
moved first: its checkpoints are never split over two folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from search.problems import Exit, fail
from search.study.artifacts import FOLDERS
from search.study.owner import UUID, FolderOwner, storage_named, take_folder
from search.study.records import State, StudyView
from search.tuning.belonging import belongs, owned, refuse_anothers
from search.tuning.job import TRIALS, trial_folder

if TYPE_CHECKING:
    from search.study.record import Recorder


def homes_of(view: StudyView, current: Path) -> tuple[Path, ...]:
    """The folders of a study: the current one first (absolute), then the latest; none
    that is another study's."""
    known = [Path(str(each)) for each in view.attributes.get(FOLDERS, ())]
    places = dict.fromkeys([current, *reversed(known)])
    return tuple(place for place in places if belongs(place, view))


def settle_in(recorder: Recorder, current: Path, *, storage: str) -> None:
    """Make ``current`` the study's folder: its own, remembered, and with the
    checkpoints of the trials that will go on.

    Args:
        recorder: Of the study.
        current: Where it lives from now on, absolute.
        storage: URL of its storage.

    Raises:
        SearchError: Exit.CONFLICT, if it is another study's, which is then as it
            was; Exit.STORAGE, if there is no room.
    """
    view = recorder.view()
    refuse_anothers(current, view.name, view, storage=storage)
    mine = FolderOwner(
        uuid=str(view.attributes[UUID]), study=view.name, storage=storage_named(storage)
    )
    _take(current, mine)
    refuse_anothers(current, view.name, view, storage=storage)  # who came first at the same time
    homes = homes_of(view, current)
    for earlier in homes[1:]:
        if earlier.is_dir() and not owned(earlier, view):
            with suppress(OSError):  # one that cannot be written is read as it is
                take_folder(earlier, mine)
    folders = [str(each) for each in reversed(homes)]
    if view.attributes.get(FOLDERS) != folders:
        recorder.set_result(FOLDERS, folders)
    waiting = [trial.number for trial in view.trials if trial.state is State.WAITING]
    try:
        bring(homes, waiting)
    except OSError as error:
        raise fail(
            f"checkpoints cannot be moved to {current}: {error.strerror or error}",
            fix=f"free some space, or checkpoints: {{dir: {homes[-1].parent}}} as before",
            status=Exit.STORAGE,
        ) from error


def _take(folder: Path, mine: FolderOwner) -> None:
    """Write in a study's folder whose it is, unless that is written there."""
    try:
        take_folder(folder, mine)
    except OSError as error:
        raise fail(
            f"{folder} cannot be made: {error.strerror or error}",
            fix="free some space, or checkpoints: {dir: ...} where you may write",
            status=Exit.STORAGE,
        ) from error


def checkpoints_of(homes: Sequence[Path], number: int) -> Path:
    """The folder of a trial's checkpoints: the first that holds any, else the
    one that the current folder would have."""
    places = [trial_folder(home / TRIALS, number) for home in homes]
    return next((place for place in places if _checkpoints(place)), places[0])


def bring(homes: Sequence[Path], numbers: Iterable[int]) -> None:
    """Move the checkpoints of trials that will go on to the current folder.

    Raises:
        OSError: If there is no room; the old files are unchanged.
    """
    for number in numbers:
        found, wanted = checkpoints_of(homes, number), trial_folder(homes[0] / TRIALS, number)
        if found == wanted or not _checkpoints(found):
            continue
        part = wanted.with_name(f".{wanted.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a run that ended while moving
        shutil.rmtree(wanted, ignore_errors=True)  # holds no checkpoint
        try:
            shutil.copytree(found, part)
            part.rename(wanted)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(found, ignore_errors=True)


def _checkpoints(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))
