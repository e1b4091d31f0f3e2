"""Making a study, or finding it and checking that it is still the same one.

A crash at any point leaves a study that the next open completes: the attribute
``ready`` is written last, and a study without it is filled in again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from search.problems import Exit, Problem, SearchError
from search.space.document import diff, identity, to_document
from search.space.spec import StudySpec
from search.study.record import Recorder
from search.study.storage import connect
from search.study.views import READY


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """What a study is fixed to besides its space."""

    fingerprint: str
    """Of the images, labels and split."""
    counts: Mapping[str, int]
    """Images in each part."""
    classes: tuple[str, ...]
    backbones: tuple[str, ...]
    weights: Mapping[str, str]
    """Content hash by backbone."""
    versions: Mapping[str, str]


def open_study(url: str, spec: StudySpec, facts: StudyFacts) -> Recorder:
    """The recorder of a study: a new one, or the one of that name.

    Trials that a dead driver left running wait again.

    Raises:
        SearchError: If a study of that name has another space, other images,
            weights or backbones (4), or the storage cannot be opened (74).
    """
    return open_in(connect(url), spec, facts)


def open_in(storage: BaseStorage, spec: StudySpec, facts: StudyFacts) -> Recorder:
    """:func:`open_study` in an open storage (Optuna's in-memory one too)."""
    names = {study.study_name: study._study_id for study in storage.get_all_studies()}
    study_id = names.get(spec.name)
    if study_id is None:
        direction = (
            StudyDirection.MAXIMIZE if spec.direction == "maximize" else StudyDirection.MINIMIZE
        )
        study_id = storage.create_new_study([direction], study_name=spec.name)
    document = to_document(spec)
    attributes = storage.get_study_user_attrs(study_id)
    if READY in attributes:
        _check(spec, facts, attributes)
        storage.set_study_user_attr(study_id, "space", document)
    else:
        fixed = {**asdict(facts), "seed": spec.seed, "objective": spec.objective}
        for name, value in fixed.items():
            storage.set_study_user_attr(study_id, name, _plain(value))
        storage.set_study_user_attr(study_id, "space", document)
        optuna.load_study(study_name=spec.name, storage=storage).set_metric_names([spec.objective])
        storage.set_study_user_attr(study_id, READY, True)
    recorder = Recorder(storage, spec)
    recorder.recover()
    return recorder


def _check(spec: StudySpec, facts: StudyFacts, attributes: Mapping[str, object]) -> None:
    """Refuse to go on with another study under the same name."""
    changes: list[str] = []
    stored = attributes["space"]
    assert isinstance(stored, dict)
    old, new = identity(stored), identity(to_document(spec))
    changes += diff(old, new)
    for name, what in (
        ("fingerprint", "the images, labels or split"),
        ("backbones", "the backbones"),
        ("weights", "the pretrained weights"),
    ):
        before, now = attributes.get(name), _plain(asdict(facts)[name])
        if before != now:
            changes.append(f"{what} changed: {_short(before)} -> {_short(now)}")
    if changes:
        problems = [Problem(fact=f"study {spec.name} exists with other content")]
        problems += [Problem(fact=change) for change in changes[:-1]]
        problems.append(Problem(fact=changes[-1], fix=f"--name {_another(spec.name)}"))
        raise SearchError(problems, Exit.CONFLICT)


def _another(name: str) -> str:
    """A name to use instead: ``flowers`` -> ``flowers-2`` -> ``flowers-3``."""
    stem, dash, number = name.rpartition("-")
    if dash and number.isdigit():
        return f"{stem}-{int(number) + 1}"
    return f"{name[:60]}-2"


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {str(part)[:12]}" for name, part in value.items())
    return str(value)[:12]


def _plain(value: object) -> object:
    """As JSON will give it back."""
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value
