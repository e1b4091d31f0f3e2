"""``search export``: a trial's model as a folder that stands alone."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from search.cli.paths import cache_folder, storage_flag, storage_url, study_folder
from search.cli.studies import find_study, find_trial
from search.problems import Exit, SearchError, fail, printable
from search.study.records import State, StudyView, TrialView

if TYPE_CHECKING:
    from search.export.report import TestResult
    from search.space.spec import StudySpec


def export(study: str | None, *, trial: int | None, to: Path | None, storage: str | None) -> None:
    """Write the folder and print where it is.

    Raises:
        SearchError: If there is no such study or trial, its weights were not
            kept (exit 2, naming those that have them), or the folder is taken; if the
            weights are another study's (exit 4).
    """
    url = storage_url(storage, os.environ)
    view = find_study(url, study)
    chosen = _chosen(view, trial)
    from search.cli.study_facts import TABLE, versions
    from search.data.manifest import load_table
    from search.export.trial import Candidate, Origin, export_trial, has_weights
    from search.space.document import from_document
    from search.tuning.homes import checkpoints_of, homes_of

    spec = from_document(view.attributes["space"])
    folder = study_folder(spec.checkpoints.dir, spec.name)
    homes = homes_of(view, folder)
    if not homes:
        raise _anothers(folder, view, url)
    if not has_weights(checkpoints_of(homes, chosen.number)):
        kept = [
            each.number for each in view.trials if has_weights(checkpoints_of(homes, each.number))
        ]
        raise _no_weights(view, chosen, kept, flag=storage_flag(storage))
    tables = [home / TABLE for home in homes]
    table = next((file for file in tables if file.is_file()), tables[0])
    _check_table(table, spec)
    test, measured_on = _known_test(view, chosen)
    written = export_trial(
        Origin(
            study=view.name,
            objective=spec.objective,
            table=load_table(table),
            weights=spec.weights,
            cache=cache_folder(os.environ, spec.cache.dir),
            versions=versions(),
        ),
        Candidate(
            number=chosen.number,
            params=chosen.params,
            checkpoints=checkpoints_of(homes, chosen.number),
        ),
        to if to is not None else homes[0] / _name(view, chosen),
        test=test,
        measured_on=measured_on,
    )
    print(f"trial {chosen.number} of {printable(view.name)}: {printable(str(written))}")
    print(f"\nnext\n  search predict {printable(shlex.quote(str(written)))} IMAGE_OR_FOLDER...")


def _name(view: StudyView, chosen: TrialView) -> str:
    """``export`` is the winner's, which a later run goes on with."""
    winner = view.winner
    same = winner is not None and winner.number == chosen.number
    return "export" if same else f"export-trial-{chosen.number}"


def _chosen(view: StudyView, number: int | None) -> TrialView:
    if number is not None:
        return find_trial(view, number)
    winner = view.winner
    if winner is None:
        raise fail(
            f"{view.name}: no trial has a value yet, so there is no best model",
            fix=f"search status {view.name}",
        )
    return winner


def _no_weights(view: StudyView, chosen: TrialView, kept: list[int], *, flag: str) -> SearchError:
    why = "is still to come" if chosen.state in (State.RUNNING, State.WAITING) else "were not kept"
    noun = "the end of its training" if why == "is still to come" else "the weights"
    fact = f"trial {chosen.number} of {view.name}: {noun} {why}"
    if not kept:
        return fail(f"{fact}, nor those of any other trial here")
    ranked = [trial.number for trial in view.ranked() if trial.number in kept]
    first = ranked[0] if ranked else kept[0]
    return fail(
        f"{fact}; trials with weights: {', '.join(map(str, kept))}",
        fix=f"search export {shlex.quote(view.name)} --trial {first}{flag}",
    )


def _anothers(folder: Path, view: StudyView, url: str) -> SearchError:
    """Whose the models in the folder are, and how those are exported, where they can be."""
    from search.study.owner import OWNER, owner_of, storage_named
    from search.tuning.belonging import anothers

    owner = owner_of(folder)
    fix = ""
    if owner is not None and not owner.uuid:
        fix = f"if it is this study's: rm {shlex.quote(str(folder / OWNER))}"
    elif owner is not None and owner.storage != storage_named(url):
        flag = f"--storage {shlex.quote(owner.storage)}"
        fix = f"for the models there: search export {shlex.quote(owner.study)} {flag}"
    return fail(anothers(folder, view.name, view, storage=url), fix=fix, status=Exit.CONFLICT)


def _check_table(table: Path, spec: StudySpec) -> None:
    if not table.is_file():
        raise fail(
            f"{table}: no such file, and the labels of {spec.name} are in it",
            fix="run this in the folder where the study was made",
        )


def _known_test(view: StudyView, chosen: TrialView) -> tuple[TestResult | None, str]:
    """The figures that the study's own export of this trial was written with."""
    stored = view.attributes.get("results")
    if not isinstance(stored, dict) or stored.get("trial") != chosen.number:
        return None, ""
    from search.export.contents import INFO_FILE
    from search.export.reading import read_info
    from search.tuning.belonging import belongs

    folder = Path(str(stored["folder"]))
    if not belongs(folder.parent, view):
        return None, ""
    try:
        info, _ = read_info(folder / INFO_FILE)
    except SearchError:
        return None, ""
    same = (info.study, info.trial) == (view.name, chosen.number)
    return (info.test, info.measured_on) if same else (None, "")
