"""What a finished search ends with, as one frozen value. Torch-free.

Stored with the study as JSON, so that running a finished study again, or
looking at it, shows the same figures without opening the test set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from search.export.report import Comparison, TestResult
from search.space.settings import Value
from search.space.spec import Metric

BaselineName: TypeAlias = Literal["default", "linear_probe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the winner is compared with."""

    name: BaselineName
    """``default``: the trial at default settings. ``linear_probe``: what scikit-learn
    fits on frozen features of the winner's backbone: a logistic regression, one a class
    where an image may be in several, a ridge regression for numbers."""
    what: str
    """One line: what it is, e.g. ``trial 0, resnet50, epoch 7``; why it is
    missing, where ``test`` is None."""
    test: TestResult | None
    comparison: Comparison | None
    """The winner minus it in the study's objective; None where ``test`` is, and
    where the winner itself is the trial at default settings."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "what": self.what,
            "test": None if self.test is None else self.test.to_json(),
            "comparison": None if self.comparison is None else self.comparison.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Baseline:
        test, comparison = document["test"], document["comparison"]
        return cls(
            name=document["name"],
            what=document["what"],
            test=None if test is None else TestResult.from_json(test),
            comparison=None if comparison is None else Comparison.from_json(comparison),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalResults:
    """The winner of a study, measured, beside its baselines."""

    study: str
    objective: Metric
    trial: int
    """The winner's number."""
    epoch: int
    """Its best epoch, 1-based, whose weights were exported."""
    value: float
    """The objective there, on the validation part."""
    params: Mapping[str, Value]
    """Its active params."""
    test: TestResult
    default_trial: int | None
    """None when the search has no finished trial at default settings."""
    baselines: tuple[Baseline, ...]
    """``default``, then ``linear_probe``."""
    opened: Mapping[str, int]
    """How often the test set was opened in all runs of the study, by what for:
    ``winner``, ``default``, ``linear_probe``."""
    folder: str
    """The export, absolute."""
    seconds: float
    """Wall time of exporting, measuring and comparing."""

    @property
    def winner_is_default(self) -> bool:
        """Whether no other settings beat the default ones."""
        return self.trial == self.default_trial

    @property
    def times_opened(self) -> int:
        """How often the test set was opened, for anything."""
        return sum(self.opened.values())

    def baseline(self, name: BaselineName) -> Baseline:
        """One of the baselines."""
        return next(each for each in self.baselines if each.name == name)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "study": self.study,
            "objective": self.objective,
            "trial": self.trial,
            "epoch": self.epoch,
            "value": self.value,
            "params": dict(self.params),
            "test": self.test.to_json(),
            "default_trial": self.default_trial,
            "baselines": [each.to_json() for each in self.baselines],
            "opened": dict(self.opened),
            "folder": self.folder,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FinalResults:
        """The exact inverse of :meth:`to_json`."""
        plain = {
            name: document[name]
            for name in (
                "study",
                "objective",
                "trial",
                "epoch",
                "value",
                "params",
                "default_trial",
                "opened",
                "folder",
                "seconds",
            )
        }
        return cls(
            **plain,
            test=TestResult.from_json(document["test"]),
            baselines=tuple(Baseline.from_json(each) for each in document["baselines"]),
        )
