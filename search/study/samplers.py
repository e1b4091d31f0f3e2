"""What to try next, from what has been tried: tpe, random and grid.

A draw is a function of (study, number of the trial, history) alone: each has a
fresh sampler, seeded by the study's seed and the number, over an in-memory copy
of the history. So going on never proposes a point a second time, and proposes
what an uninterrupted run with that history would have. Nothing is written
outside this object; failed trials teach nothing.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search.space.domains import Choice, Domain, FloatRange, IntRange, Param, Space, choose, same
from search.space.points import contains, grid, nearest, values
from search.space.settings import Value
from search.space.spec import StudySpec

REDRAWS = 8
"""How often a point that was tried before is drawn anew."""
_NAME = "history"

Key: TypeAlias = tuple[tuple[str, str, Value], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A point, and the part of it that the storage keeps as parameters."""

    point: Mapping[str, Value]
    params: Mapping[str, Value]
    distributions: Mapping[str, BaseDistribution]


class Proposer:
    """Draws points for one study.

    Args:
        spec: Its space, sampler, seed and direction.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._history = InMemoryStorage()
        maximize = spec.direction == "maximize"
        self._study = self._history.create_new_study(
            [StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE], _NAME
        )
        self._draft = self._history.create_new_trial(self._study)
        self._ids: dict[int, int] = {}

    def remember(
        self, number: int, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> None:
        """A trial exists; until it is settled the sampler keeps away from it."""
        trial = create_trial(
            state=TrialState.RUNNING, params=dict(params), distributions=dict(distributions)
        )
        self._ids[number] = self._history.create_new_trial(self._study, trial)

    def settle(
        self, number: int, state: TrialState, value: float | None, curve: Mapping[int, float]
    ) -> None:
        """Learn how a remembered trial ended."""
        trial = self._ids[number]
        for epoch, reported in curve.items():
            self._history.set_trial_intermediate_value(trial, epoch, reported)
        self._history.set_trial_state_values(trial, state, None if value is None else [value])

    def propose(
        self, number: int, tried: Collection[Key], given: Mapping[str, Value] | None = None
    ) -> Drawn | None:
        """The point of trial ``number``; None when nothing new is left.

        A point that was tried before is drawn again up to REDRAWS times. Should
        all have been tried, the first untried point of a finite space is taken,
        and a space with a continuous param gets its last draw.

        Args:
            number: 0-based.
            tried: :func:`key` of every earlier trial's point.
            given: Values that are settled already.
        """
        space = self._spec.space
        finite = is_finite(space)
        if self._spec.sampler.name != "grid":
            for redraw in range(REDRAWS):
                drawn = self._draw(number, redraw, given or {})
                if key(drawn.point) not in tried:
                    return drawn
            if not finite:
                return drawn
        for point in grid(space, len(tried) + 1):
            if key(point) not in tried:
                return self.at(point)
        return None

    def at(self, point: Mapping[str, Value]) -> Drawn:
        """A known point."""
        return self._walk(lambda name, _domain, _distribution: point[name])

    def _draw(self, number: int, redraw: int, given: Mapping[str, Value]) -> Drawn:
        seed = _seed(self._spec.seed, number, redraw)
        sampler = self._sampler(seed)
        study = optuna.load_study(study_name=_NAME, storage=self._history, sampler=sampler)
        draft = self._history.get_trial(self._draft)
        joint = sampler.sample_relative(
            study, draft, sampler.infer_relative_search_space(study, draft)
        )

        def pick(name: str, domain: Domain, distribution: BaseDistribution) -> Value:
            if name in given and contains(domain, given[name]):
                return given[name]
            if distribution.single():
                return (values(domain) or ())[0]
            if name in joint and _within(domain, joint[name]):
                return _fitted(domain, joint[name])
            # Choices that only other branches have are drawn again.
            for _ in range(16):
                drawn = sampler.sample_independent(study, draft, name, distribution)
                if _within(domain, drawn):
                    return _fitted(domain, drawn)
            return random.Random(f"{seed} {name}").choice(list(values(domain) or ()))

        return self._walk(pick)

    def _walk(self, pick: Any) -> Drawn:
        params: dict[str, Value] = {}
        distributions: dict[str, BaseDistribution] = {}

        def take(name: str, domain: Domain) -> Value:
            distribution = distribution_of(self._spec.space[name], domain)
            value: Value = pick(name, domain, distribution)
            params[name], distributions[name] = value, distribution
            return value

        point = choose(self._spec.space, take)
        return Drawn(point=point, params=params, distributions=distributions)

    def _sampler(self, seed: int) -> BaseSampler:
        if self._spec.sampler.name == "random":
            return RandomSampler(seed=seed)
        if self._spec.sampler.name != "tpe":
            raise ValueError(f"not a sampler: {self._spec.sampler.name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                n_startup_trials=self._spec.sampler.startup_trials,
                multivariate=True,
                group=True,  # conditional params are modelled together with theirs
                constant_liar=True,
                seed=seed,
            )


def distribution_of(param: Param, domain: Domain) -> BaseDistribution:
    """How Optuna stores a value of ``domain``, under the param's own name.

    Optuna wants the choices of a parameter to be the same in all trials, so a
    choice is stored as one of all branches' choices. Steps of a float, and of an
    int on a log scale, are stored as points of the whole range.
    """
    if isinstance(domain, IntRange):
        if domain.log:
            return IntDistribution(domain.low, domain.high, log=True)
        reach = (domain.high - domain.low) // domain.step * domain.step
        return IntDistribution(domain.low, domain.low + reach, step=domain.step)
    if isinstance(domain, FloatRange):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    choices: list[Value] = []
    for branch in param.branches:
        if isinstance(branch.domain, Choice):
            choices += [
                choice
                for choice in branch.domain.choices
                if not any(same(choice, known) for known in choices)
            ]
    return CategoricalDistribution(choices)


def is_finite(space: Space) -> bool:
    """Whether no domain of the space is continuous."""
    return all(
        values(branch.domain) is not None for param in space.params for branch in param.branches
    )


def key(point: Mapping[str, Value]) -> Key:
    """A point as something that can be compared; 1 and True stay apart."""
    return tuple(sorted((name, type(value).__name__, value) for name, value in point.items()))


def _within(domain: Domain, value: Any) -> bool:
    if isinstance(domain, (IntRange, FloatRange)):
        return bool(domain.low <= value <= domain.high)
    return contains(domain, value)


def _fitted(domain: Domain, value: Any) -> Value:
    """A drawn value on the domain's steps, where it has any."""
    return value if contains(domain, value) else nearest(domain, value)


def _seed(study: int, number: int, redraw: int) -> int:
    digest = hashlib.sha256(f"sampler {study} {number} {redraw}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
