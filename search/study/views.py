"""A study as plain values, read from its storage. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.problems import did_you_mean, fail
from search.study.records import FailReason, State, StudyView, TrialView
from search.study.storage import connect_read_only

_STATES = {
    TrialState.WAITING: State.WAITING,
    TrialState.RUNNING: State.RUNNING,
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAILED,
}
READY = "ready"
"""Attribute that is written last when a study is made; without it there is none."""


def list_studies(url: str) -> tuple[StudyView, ...]:
    """All studies of a storage, the newest first; none where there is no storage.

    Raises:
        SearchError: If the storage cannot be opened.
    """
    storage = connect_read_only(url)
    if storage is None:
        return ()
    try:
        studies = storage.get_all_studies()
        return tuple(
            read(storage, study._study_id)
            for study in sorted(studies, key=lambda each: each._study_id, reverse=True)
            if READY in study.user_attrs
        )
    finally:
        storage.remove_session()


def view(url: str, name: str | None = None) -> StudyView:
    """One study; the newest where no name is given.

    Raises:
        SearchError: If there is none of that name, or none at all.
    """
    studies = list_studies(url)
    if not studies:
        raise fail("no studies yet", fix="search run spaces/quick.yaml")
    if name is None:
        return studies[0]
    for study in studies:
        if study.name == name:
            return study
    names = [study.name for study in studies]
    near = did_you_mean(name, names)
    raise fail(
        f"no study {name!r}",
        fix=f"did you mean {near}?" if near else f"one of: {', '.join(names[:12])}",
    )


def find(url: str, name: str) -> StudyView | None:
    """The study of that name, or None. Makes no file."""
    return next((study for study in list_studies(url) if study.name == name), None)


def read(storage: BaseStorage, study_id: int) -> StudyView:
    """A study of an open storage."""
    directions = storage.get_study_directions(study_id)
    attributes = storage.get_study_user_attrs(study_id)
    maximize = directions[0] == StudyDirection.MAXIMIZE
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return StudyView(
        name=storage.get_study_name_from_id(study_id),
        objective=str(attributes.get("objective", "")),
        direction="maximize" if maximize else "minimize",
        trials=tuple(trial_view(trial, maximize=maximize) for trial in _numbered(trials)),
        attributes=attributes,
    )


def trial_view(trial: FrozenTrial, *, maximize: bool) -> TrialView:
    """A trial of Optuna's as ours."""
    attributes: dict[str, Any] = dict(trial.user_attrs)
    curve = dict(sorted(trial.intermediate_values.items()))
    best = best_epoch(curve, maximize=maximize)
    reason = attributes.get("reason")
    started = attributes.get("started")
    return TrialView(
        number=trial.number,
        state=_STATES[trial.state],
        params=attributes.get("point", trial.params),
        curve=curve,
        best_value=None if best is None else curve[best],
        best_epoch=best,
        why=str(attributes.get("why", "")),
        reason=None if reason is None else FailReason(reason),
        started=datetime.fromisoformat(started) if started else _aware(trial.datetime_start),
        ended=_aware(trial.datetime_complete),
        attributes=attributes,
    )


def best_epoch(curve: dict[int, float], *, maximize: bool) -> int | None:
    """The epoch of the best value, the earliest on a tie; None without any."""
    if not curve:
        return None
    sign = -1.0 if maximize else 1.0
    return min(curve, key=lambda epoch: (sign * curve[epoch], epoch))


def _numbered(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return sorted(trials, key=lambda trial: trial.number)


def _aware(moment: datetime | None) -> datetime | None:
    """Optuna stores local times without a zone."""
    return None if moment is None else moment.astimezone(UTC)
