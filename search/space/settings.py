"""The shape of what a space file is checked against.

A :class:`Setting` describes one thing that a trial can vary; a
:class:`SizeRule` says which image sizes a backbone takes. Their values live
with their owners (``training/config.py``, ``backbones/catalogue.py``) and are
handed to :func:`search.space.load` by ``cli``. Nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from search.space.domains import Condition

Value: TypeAlias = str | int | float | bool
"""What a param can be. Lists and mappings are not values."""

Kind: TypeAlias = Literal["int", "float", "choice", "backbone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of a trial: its type, range, default and meaning."""

    name: str
    """YAML key = field of TrialConfig = Optuna parameter = dashboard column."""
    kind: Kind
    default: Value
    low: float | None = None
    """Smallest allowed value of an int or float, inclusive."""
    high: float | None = None
    """Largest allowed value of an int or float, inclusive."""
    choices: tuple[Value, ...] = ()
    """Allowed values of a ``choice``."""
    meaning: str = ""
    """One sentence; with the unit and the meaning of 0."""
    unit: str = ""
    """Of the value, e.g. ``pixels``; empty where it has none."""
    acts: tuple[tuple[Condition, ...], ...] = ()
    """Where it does anything: where all conditions of one of these hold, a setting that is
    not named having its default. Empty for everywhere. Told in words by ``acting.py``."""
    rests: tuple[tuple[Condition, ...], ...] = ()
    """Where it does nothing all the same: where all conditions of one of these hold. Each
    lists values; of a number, the lowest that it can have."""
    below: str = ""
    """The setting below whose value alone it does anything; both are whole numbers. At its
    own default it does nothing, whatever that is."""
    lacking: tuple[str, ...] = ()
    """Patterns of the backbones' names that have nothing for it to act on. Of a backbone
    that none is like, nothing is said."""
    condition: str = ""
    """What else it takes to do anything, in words: of the backbone or the task."""
    source: str = ""
    """Where it comes from: authors, title, venue and year of a paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """Which square image sizes a backbone takes, in pixels."""

    default: int
    """The size that its weights were trained or evaluated at."""
    minimum: int = 32
    multiple: int = 1
    """Sizes are multiples of this (the patch size of a plain ViT)."""
    maximum: int | None = None
    """None where there is no largest one."""
    refused: str = ""
    """Why the backbone cannot be used at all; empty where it can."""
    instead: str = ""
    """What to type where it is refused."""

    def accepts(self, size: int) -> bool:
        """Whether images of ``size`` x ``size`` can be taken."""
        return (
            not self.refused
            and size >= self.minimum
            and size % self.multiple == 0
            and (self.maximum is None or size <= self.maximum)
        )

    def nearest(self, size: int) -> int:
        """The accepted size closest to ``size``; the larger one on a tie."""
        step = self.multiple
        lowest = -(-self.minimum // step) * step
        near = max(lowest, (2 * size + step) // (2 * step) * step)
        return near if self.maximum is None else min(near, self.maximum)
