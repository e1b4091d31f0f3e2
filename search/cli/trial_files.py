"""During a run: the files that show what each trial did, made before it is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from search.cli.study_facts import TABLE
from search.data.manifest import load_table
from search.export.artifacts import Artifacts
from search.space.spec import StudySpec
from search.study.artifacts import artifact_folder
from search.tuning.events import Listener, Note
from search.tuning.job import TRIALS, trial_folder


def trial_files(folder: Path, spec: StudySpec) -> Callable[[int, Listener], Sequence[str]]:
    """What makes the files that show what a trial did, and names them.

    Args:
        folder: Of the study; its image table is there.
        spec: The study.
    """
    table = load_table(folder / TABLE)
    artifacts = Artifacts(table, spec.objective, maximize=spec.direction == "maximize")

    def make(number: int, say: Listener) -> Sequence[str]:
        source = trial_folder(folder / TRIALS, number)
        made = artifacts.make(source, artifact_folder(folder, number))
        if made.fault:
            text = f"trial {number}: its curves and errors cannot be drawn: {made.fault}"
            say(Note(level="warning", text=text))
        return made.names

    return make
