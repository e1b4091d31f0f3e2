"""A study of a few params, and its facts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.space.domains import Branch, Choice, Condition, FloatRange, IntRange, Param, Space
from search.space.spec import Budget, DataSpec, SamplerSpec, StudySpec
from search.study.opening import StudyFacts

Specify = Callable[..., StudySpec]


@pytest.fixture(scope="session")
def facts() -> StudyFacts:
    return StudyFacts(
        fingerprint="f" * 64,
        counts={"train": 6, "val": 2, "test": 2},
        classes=("a", "b"),
        backbones=("small", "large"),
        weights={"small": "s", "large": "l"},
        versions={"search": "0"},
    )


@pytest.fixture(scope="session")
def specify() -> Specify:
    def make(
        *,
        name: str = "study",
        space: Space | None = None,
        sampler: str = "random",
        seed: int = 7,
        trials: int = 20,
        objective: str = "balanced_accuracy",
    ) -> StudySpec:
        return StudySpec(
            name=name,
            seed=seed,
            data=DataSpec(path="images"),
            objective=objective,  # type: ignore[arg-type]
            space=space or _space(),
            sampler=SamplerSpec(name=sampler, startup_trials=3),  # type: ignore[arg-type]
            budget=Budget(trials=trials),
        )

    return make


def _space() -> Space:
    return Space(
        params=(
            Param(name="backbone", branches=(Branch(domain=Choice(choices=("small", "large"))),)),
            Param(name="unfreeze_depth", branches=(Branch(domain=IntRange(low=0, high=5)),)),
            Param(
                name="lr",
                branches=(
                    Branch(
                        domain=FloatRange(low=1e-3, high=1.0, log=True),
                        when=(Condition(param="unfreeze_depth", min=1),),
                    ),
                ),
            ),
        )
    )
