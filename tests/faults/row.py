"""One row of the table: a fault, how often it was made, how often it was survived."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any


def still_allowed(survived: int) -> float:
    """The failure rate per fault that ``survived`` of as many still allow, at 95 %.

    Example: ``still_allowed(30) == 0.095``: with a larger rate, 30 of 30 would come
    about in fewer than 5 % of such series (0.905 ** 30 = 0.05).
    """
    return 1.0 - 0.05 ** (1.0 / survived) if survived > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one kind of fault did."""

    id: str
    """As in the table of faults, e.g. ``R1``."""
    fault: str
    promise: str
    tried: int
    """Faults made."""
    survived: int
    """Faults after which the promise held."""
    figures: str = ""
    """What was counted, in words."""
    kills: bool = False
    """Whether a failure rate that is still allowed is shown."""
    faults: tuple[str, ...] = ()
    """Every broken promise in a line: empty when all is well."""
    seconds: float = 0.0
    """Wall time that it took, among the others that ran beside it."""

    @property
    def holds(self) -> bool:
        return self.tried > 0 and self.survived == self.tried and not self.faults

    @property
    def score(self) -> str:
        return f"{self.survived}/{self.tried}"

    @property
    def allowed(self) -> str:
        """The rate that is still allowed; empty where something failed, or for no kills."""
        return f"{still_allowed(self.tried):.1%}" if self.kills and self.holds else ""

    def plus(self, other: Row) -> Row:
        """Both as one: the same fault in another series."""
        return replace(
            self,
            tried=self.tried + other.tried,
            survived=self.survived + other.survived,
            figures=_sum(self.figures, other.figures),
            faults=(*self.faults, *other.faults),
            seconds=max(self.seconds, other.seconds),
        )

    def document(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "id": self.id,
            "fault": self.fault,
            "promise": self.promise,
            "tried": self.tried,
            "survived": self.survived,
            "figures": self.figures,
            "failure_rate_still_allowed": still_allowed(self.tried) if self.allowed else None,
            "faults": list(self.faults),
            "seconds": round(self.seconds, 1),
        }


def _sum(one: str, other: str) -> str:
    """Two texts that differ in whole numbers alone, as one with the sums."""
    numbers = re.compile(r"\d+")
    if numbers.sub("", one) != numbers.sub("", other) or "." in one:
        return one if one == other else f"{one} + {other}"
    sums = iter(
        [int(a) + int(b) for a, b in zip(numbers.findall(one), numbers.findall(other), strict=True)]
    )
    return numbers.sub(lambda _: str(next(sums)), one)
