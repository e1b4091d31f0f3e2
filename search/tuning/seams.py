"""What the conductor needs of its neighbours: the record and the scheduler. No ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from search.study.records import Asked, Outcome, StudyView
from search.tuning.endings import Verdict


class Recorder(Protocol):
    """The one writer of the study (``search.study.record``)."""

    @property
    def default_number(self) -> int | None: ...

    def ask(self) -> Asked | None: ...

    def report(
        self, number: int, epoch: int, value: float, attributes: Mapping[str, Any]
    ) -> None: ...

    def settle(self, number: int, outcome: Outcome, *, files: Sequence[str] = ()) -> None: ...

    def interrupt(self, number: int) -> None: ...

    def add_seconds(self, seconds: float) -> None: ...

    def view(self) -> StudyView: ...

    def announce(self, say: Callable[[str], None]) -> None: ...

    def hurry(self) -> None: ...


class Judge(Protocol):
    """The scheduler (``search.tuning.asha.Asha``)."""

    def judge(self, trial: Any, epoch: int, value: float) -> Verdict: ...

    def remember(self, key: str, curve: Mapping[int, float]) -> None: ...

    def forget(self, key: str) -> None: ...
