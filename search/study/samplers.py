"""Optuna's samplers, with randomness that depends on the trial's number alone.

A driver that is killed and started again would else draw the same numbers once
more. Here each trial gets a fresh sampler seeded by (study seed, number), so
going on proposes what an uninterrupted run with the same history would have.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from search.space.domains import Choice, Domain, Fixed, FloatRange, IntRange, Param
from search.space.points import values
from search.space.settings import Value
from search.space.spec import SamplerSpec


class Seeded(BaseSampler):
    """A new inner sampler for every trial.

    Args:
        spec: ``tpe``, or ``random`` (also what a grid's storage is opened with).
        seed: The study's.
    """

    def __init__(self, spec: SamplerSpec, seed: int) -> None:
        self._spec = spec
        self._seed = seed
        self._inner: BaseSampler = RandomSampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Optuna's hook, ahead of the trial's first param."""
        seed = random.Random(f"sampler {self._seed} {trial.number}").getrandbits(31)
        self._inner = (
            TPESampler(
                n_startup_trials=self._spec.startup_trials,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
                warn_independent_sampling=False,
            )
            if self._spec.name == "tpe"
            else RandomSampler(seed=seed)
        )
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Optuna's hook."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Optuna's hook."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Optuna's hook."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Optuna's hook."""
        self._inner.after_trial(study, trial, state, values)


def suggest(trial: Trial, param: Param, domain: Domain) -> Value:
    """Ask Optuna for a value of an active domain of ``param``."""
    name = stored_name(param, domain)
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, IntRange):
        return trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
    if isinstance(domain, FloatRange) and domain.steps is None:
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return cast(Value, trial.suggest_categorical(name, _choices(domain)))


def stored_name(param: Param, domain: Domain) -> str:
    """The name of ``param`` in the storage while ``domain`` is in force.

    It is the param's own, one spelling everywhere. Optuna wants the choices of a
    parameter to be the same in all trials, though, so where branches of a param
    list different choices, the second distinct list is ``NAME (2)``, and so on.
    """
    lists: list[list[Value]] = []
    for branch in param.branches:
        if _is_list(branch.domain) and _choices(branch.domain) not in lists:
            lists.append(_choices(branch.domain))
    if not _is_list(domain):
        return param.name
    position = lists.index(_choices(domain))
    return param.name if position == 0 else f"{param.name} ({position + 1})"


def _is_list(domain: Domain) -> bool:
    return isinstance(domain, Choice) or (
        isinstance(domain, FloatRange) and domain.steps is not None
    )


def _choices(domain: Domain) -> list[Value]:
    """All values; the steps of a float are choices for Optuna."""
    return list(values(domain) or ())
