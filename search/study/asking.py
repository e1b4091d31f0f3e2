"""Starting a trial: a new one, or one that waits. Called inside a transaction."""

from __future__ import annotations

from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from search.problems import Exit, fail
from search.space.spec import StudySpec
from search.study.known import Known
from search.study.records import TrialView
from search.study.samplers import Drawn


def begin(
    storage: BaseStorage, study: int, spec: StudySpec, known: Known, *, now: str
) -> int | None:
    """Make a trial at the next point to be tried first, or at a proposed one.

    Returns:
        Its number; None when every point of the space was tried.

    Raises:
        SearchError: If another process adds trials to the study (4).
    """
    number = len(known.views)
    attributes: dict[str, Any] = {"started": now}
    used = {view.attributes.get("first") for view in known.views.values()}
    firsts = [index for index in range(len(spec.first)) if index not in used]
    if firsts:
        attributes["first"] = firsts[0]
        drawn: Drawn | None = known.proposer.at(dict(spec.first[firsts[0]]))
    else:
        drawn = known.proposer.propose(number, known.tried())
    if drawn is None:
        return None
    trial = storage.create_new_trial(
        study,
        create_trial(
            state=TrialState.RUNNING,
            params=dict(drawn.params),
            distributions=dict(drawn.distributions),
            user_attrs={"point": dict(drawn.point), **attributes},
        ),
    )
    if storage.get_trial_number_from_id(trial) != number:
        raise fail(
            f"another process adds trials to study {spec.name}",
            fix="end it, then run the same command again",
            status=Exit.CONFLICT,
        )
    known.ids[number] = trial
    known.proposer.remember(number, drawn.params, drawn.distributions)
    return number


def go_on(storage: BaseStorage, known: Known, view: TrialView, *, now: str) -> int:
    """Run a waiting trial, one without a point (another program's) too."""
    number, trial = view.number, known.ids[view.number]
    if not view.params:
        given = dict(storage.get_trial(trial).params)
        drawn = known.proposer.propose(number, known.tried(), given)
        if drawn is None:
            raise ValueError(f"trial {number} waits without a point, and none is left")
        for name, distribution in drawn.distributions.items():
            if name not in given:
                stored = distribution.to_internal_repr(drawn.params[name])
                storage.set_trial_param(trial, name, stored, distribution)
        storage.set_trial_user_attr(trial, "point", dict(drawn.point))
        storage.set_trial_user_attr(trial, "started", now)
        known.proposer.remember(number, drawn.params, drawn.distributions)
    storage.set_trial_state_values(trial, TrialState.RUNNING)
    return number
