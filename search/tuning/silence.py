"""How long a trial may report nothing before it counts as hanging. Pure: time is given.

A limit that ends good trials is worse than none, and what an epoch takes differs a
hundredfold between the trials of one study. So without a setting a trial is compared
with itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search.study.records import FailReason, Outcome, State

FIRST = 24 * 3600.0
"""Seconds for the first report of a trial in a run, where nothing is set."""
LEAST = 3600.0
"""Seconds for each later one, at least."""
TIMES = 20
"""So many times its longest epoch, where that is more."""
PAUSE = 30.0
"""This process was held up itself when it did not ask for so many seconds."""


@dataclass(slots=True)
class _Heard:
    since: float
    epoch: int = 0
    longest: float | None = None
    """Seconds of its longest epoch; None before it reported one."""


class Silence:
    """Who runs, and when it was last heard of.

    Args:
        minutes_per_epoch: The limit; None derives one.
    """

    def __init__(self, minutes_per_epoch: float | None) -> None:
        self._minutes = minutes_per_epoch
        self._heard: dict[str, _Heard] = {}
        self._asked: float | None = None

    def starts(self, name: str, now: float) -> None:
        """A trial's worker is ready for its first epoch, or for the next."""
        self._heard[name] = _Heard(since=now)

    def reports(self, name: str, now: float, epoch: int, seconds: float) -> None:
        """A trial reported an epoch that took so long (perhaps in an earlier run)."""
        heard = self._heard.get(name)
        if heard is not None:
            heard.since, heard.epoch = now, epoch
            heard.longest = max(seconds, heard.longest or 0.0)

    def ends(self, name: str) -> None:
        """A trial runs no more."""
        self._heard.pop(name, None)

    def overdue(self, now: float) -> Mapping[str, Outcome]:
        """The trials that hang, and how each of them ends. To be asked all the time:
        while nobody asks, as when this process is stopped, no trial's time runs."""
        asked, self._asked = self._asked, now
        if asked is not None and now - asked > PAUSE:
            for heard in self._heard.values():
                heard.since += now - asked
        return {
            name: self._outcome(heard, now - heard.since)
            for name, heard in self._heard.items()
            if now - heard.since > self._limit(heard)
        }

    def _limit(self, heard: _Heard) -> float:
        if self._minutes is not None:
            return self._minutes * 60
        return FIRST if heard.longest is None else max(LEAST, TIMES * heard.longest)

    def _outcome(self, heard: _Heard, waited: float) -> Outcome:
        limit = f"resources: {{minutes_per_epoch: {self._minutes:g}}}" if self._minutes else ""
        if not limit:
            own = "" if heard.longest is None else f"; its longest epoch took {heard.longest:.0f} s"
            limit = f"no resources: {{minutes_per_epoch}} is set{own}"
        after = f"after epoch {heard.epoch}" if heard.epoch else "from its start on"
        why = f"no report for {waited / 60:.1f} minutes {after}; {limit}"
        return Outcome(state=State.FAILED, reason=FailReason.TIMEOUT, why=why)
