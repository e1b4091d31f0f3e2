"""A study for tests that need some study: one rate, two classes, five trials."""

from __future__ import annotations

from search.space.domains import Branch, FloatRange, Param, Space
from search.space.spec import Budget, DataSpec, StudySpec
from search.study.opening import StudyFacts

LR = Param(name="lr", branches=(Branch(domain=FloatRange(low=1e-4, high=1e-1)),))
SPEC = StudySpec(
    name="flowers", data=DataSpec(path="images"), space=Space(params=(LR,)), budget=Budget(trials=5)
)
FACTS = StudyFacts(
    fingerprint="f" * 64,
    counts={"train": 6, "val": 2, "test": 2},
    classes=("a", "b"),
    backbones=("small",),
    weights={"small": "s"},
    versions={},
)
