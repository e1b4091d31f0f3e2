"""``search status``: what the storage says, read and never written."""

from __future__ import annotations

import json as jsonlib
import os
from typing import TYPE_CHECKING, Any

from search.cli.columns import terminal_width
from search.cli.paths import absolute_storage, storage_flag, storage_url
from search.cli.started import going_on
from search.cli.status_document import studies_document, study_document, trial_document
from search.cli.status_view import studies_lines, study_lines, trial_lines
from search.cli.studies import find_study, find_trial

if TYPE_CHECKING:
    from search.study.holder import Holder
    from search.study.records import StudyView, TrialView


def status(study: str | None, *, trial: int | None, storage: str | None, json: bool) -> None:
    """Print all studies, one study, or one trial.

    Raises:
        SearchError: If there is no such study or trial, or no storage answers.
    """
    from search.space.secrets import redact

    url = storage_url(storage, os.environ)
    shown, flag = redact(absolute_storage(url)), storage_flag(storage)
    width = terminal_width()
    if study is None and trial is None:
        from search.study.views import list_studies

        studies = list_studies(url)
        if json:
            _print(studies_document(studies, storage=shown))
        else:
            print("\n".join(studies_lines(studies, storage=shown, flag=flag, width=width)))
        return
    found = find_study(url, study)
    if trial is None:
        driver = _driver(url, found.name)
        if json:
            _print(study_document(found, storage=shown, driver=driver))
        else:
            lines = study_lines(
                found,
                storage=shown,
                flag=flag,
                driver=driver,
                going_on=going_on(found) if driver is None else None,
                width=width,
            )
            print("\n".join(lines))
        return
    one = find_trial(found, trial)
    if json:
        _print(trial_document(found, one, storage=shown))
    else:
        none = _no_weights(found, one, url)
        print("\n".join(trial_lines(found, one, flag=flag, no_weights=none, width=width)))


def _driver(url: str, study: str) -> Holder | None:
    """Who runs the study now; None when nobody does."""
    from search.study.holder import find_holder

    holder = find_holder(url, study)
    return None if holder is None or holder.gone else holder


def _no_weights(study: StudyView, trial: TrialView, url: str) -> str:
    """Why there is no model of a trial here; empty where there is one."""
    from search.cli.paths import study_folder
    from search.export.trial import has_weights
    from search.space.document import from_document
    from search.tuning.belonging import anothers
    from search.tuning.homes import checkpoints_of, homes_of

    spec = from_document(study.attributes["space"])
    folder = study_folder(spec.checkpoints.dir, spec.name)
    homes = homes_of(study, folder)
    if not homes:
        return f"not here: {anothers(folder, study.name, study, storage=url)}"
    if has_weights(checkpoints_of(homes, trial.number)):
        return ""
    if not any(home.is_dir() for home in homes):
        return f"not here: {folder} does not exist on this machine"
    kept = f"only those of the best {spec.checkpoints.keep} trials and of the default settings"
    return f"not kept: {kept} are (checkpoints: {{keep: {spec.checkpoints.keep}}})"


def _print(document: dict[str, Any]) -> None:
    print(jsonlib.dumps(document, allow_nan=False))
