"""Making a study, or finding it and checking that it is still the same one.

A crash at any point leaves a study that the next open completes: the attribute
``ready`` is written last, and a study without it is filled in again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy

from search.problems import Exit, Problem, SearchError, fail
from search.space.differences import diff
from search.space.document import identity, to_document
from search.space.sections import SOURCES
from search.space.spec import StudySpec
from search.study.lease import Lease
from search.study.owner import UUID, another_name
from search.study.record import Recorder
from search.study.rows import READY, plain
from search.study.storage import connect, redact, storage_faults
from search.study.transactions import guard, together
from search.training.config import SETTINGS


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
    asked: tuple[str, ...] = ()
    """Backbones that the file names, those that were left out too."""


_OWN = {"space", "opened", "seed", "objective", "seconds", UUID}
"""Attributes of a study that are written before it is ready, besides its facts."""


def open_study(
    url: str, spec: StudySpec, facts: StudyFacts, *, lease: Lease | None = None
) -> Recorder:
    """The recorder of a study: a new one, or the one of that name.

    Trials that a dead driver left running wait again.

    Args:
        url: The storage.
        spec: The study.
        facts: What it is fixed to besides its space.
        lease: Held on the study; nothing is written any more once it is lost.

    Raises:
        SearchError: If a study of that name has another space, other images,
            weights or backbones (4), or the storage cannot be opened (74).
    """
    storage = connect(url)
    if lease is not None:
        guard(storage, lease.check)
    return open_in(storage, spec, facts, url=url)


def open_in(
    storage: BaseStorage, spec: StudySpec, facts: StudyFacts, *, url: str = "memory:"
) -> Recorder:
    """:func:`open_study` in an open storage (Optuna's in-memory one too)."""
    with storage_faults(url):
        known = {study.study_name: study for study in storage.get_all_studies()}
        study = known.get(spec.name)
        attributes = {} if study is None else study.user_attrs
        if READY in attributes:
            _check(spec, facts, attributes, set(known))
        elif study is not None and not _half_made(storage, study, spec):
            raise fail(
                f"{spec.name} is another program's Optuna study in {redact(url)}",
                fix=f"--name {another_name(spec.name, set(known))}",
                status=Exit.CONFLICT,
            )
        with together(storage):
            if study is None:
                storage.create_new_study([_direction(spec)], study_name=spec.name)
            study_id = storage.get_study_id_from_name(spec.name)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            document = plain(to_document(spec))
            written: dict[str, object] = {"space": document, "opened": now}
            if READY not in attributes:
                written |= plain(asdict(facts))
                written |= {"seed": spec.seed, "objective": spec.objective, "seconds": 0.0}
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ExperimentalWarning)
                    made = optuna.load_study(study_name=spec.name, storage=storage)
                    made.set_metric_names([spec.objective])  # the dashboard's axis
            if UUID not in attributes:  # new, or made before studies had one
                written[UUID] = uuid4().hex
            for name, value in written.items():
                storage.set_study_user_attr(study_id, name, value)
            storage.set_study_user_attr(study_id, READY, True)
    recorder = Recorder(storage, spec, url=url)
    recorder.recover()
    return recorder


def _direction(spec: StudySpec) -> StudyDirection:
    return StudyDirection.MAXIMIZE if spec.direction == "maximize" else StudyDirection.MINIMIZE


def _half_made(storage: BaseStorage, study: FrozenStudy, spec: StudySpec) -> bool:
    """Whether a crash cut the making of this study short."""
    return (
        study.directions == [_direction(spec)]
        and set(study.user_attrs) <= {field.name for field in fields(StudyFacts)} | _OWN
        and not storage.get_all_trials(study._study_id, deepcopy=False)
    )


def _check(
    spec: StudySpec, facts: StudyFacts, attributes: Mapping[str, object], names: set[str]
) -> None:
    """Refuse to go on with another study under the same name."""
    changes: list[str] = []
    stored = attributes["space"]
    assert isinstance(stored, dict)
    old, new = identity(stored), identity(plain(to_document(spec)))
    changes += diff(old, new, {name: each.default for name, each in SETTINGS.items()})
    for name, what in (
        ("fingerprint", "the images, labels or split"),
        ("backbones", "the backbones"),
        ("asked", "the backbones of the file"),
        ("weights", "the pretrained weights"),
    ):
        before, now = attributes.get(name), plain(getattr(facts, name))
        if before != now:
            was, found = _short(before), _short(now)
            if name == "fingerprint":
                was, found = f"{_source(stored)} ({was})", f"{_source(to_document(spec))} ({found})"
            changes.append(f"{what} changed: {was} -> {found}")
    if changes:
        problems = [Problem(fact=f"study {spec.name} exists with other content", sums_up=True)]
        problems += [Problem(fact=change) for change in changes[:-1]]
        problems.append(Problem(fact=changes[-1], fix=f"--name {another_name(spec.name, names)}"))
        raise SearchError(problems, Exit.CONFLICT)


def _source(document: Mapping[str, Any]) -> str:
    """Where the images of a study's document come from."""
    data = document.get("data")
    named = data if isinstance(data, Mapping) else {}
    return next((str(named[key]) for key in SOURCES if named.get(key)), "?")


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {str(part)[:12]}" for name, part in value.items())
    return str(value)[:12]
