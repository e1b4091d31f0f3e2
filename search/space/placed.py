"""A parsed space whose parts still know their place in the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from search.problems import Place
from search.space.domains import Branch, Condition, Domain, Param, Space
from search.space.nodes import Node
from search.space.reach import pruned
from search.space.settings import Setting, SizeRule, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a space is checked against."""

    settings: Mapping[str, Setting]
    sizes: Mapping[str, SizeRule]
    """Every backbone by name."""
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The weights that each backbone can start from."""
    backbones: tuple[str, ...] = ()
    """The names that this space lists: what a pattern in a condition stands for."""
    lenient: bool = False
    """As :attr:`PlacedSpace.lenient`."""
    full_depth: Callable[[Mapping[str, Value]], int] = lambda values: 1
    """The first epoch at the final depth of a trial with such settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCondition:
    condition: Condition
    place: Place
    """Of the param's name."""
    values: tuple[tuple[Value, Place], ...] = ()
    """The allowed values, each with its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedBranch:
    domain: Domain
    place: Place
    """Of the whole domain."""
    listed: tuple[tuple[Value, Place], ...] = ()
    """A choice's or plain value's parts, each with its place."""
    when: tuple[PlacedCondition, ...] = ()
    when_place: Place | None = None

    def bare(self) -> Branch:
        """The branch without places."""
        return Branch(domain=self.domain, when=tuple(placed.condition for placed in self.when))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedParam:
    name: str
    place: Place
    """Of the key."""
    node: Node
    branches: tuple[PlacedBranch, ...]
    """Empty where nothing usable was written."""
    sound: bool = True
    """Whether all of it could be read; what could is in ``branches``."""

    def bare(self) -> Param:
        """The param without places."""
        return Param(name=self.name, branches=tuple(branch.bare() for branch in self.branches))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSpace:
    params: tuple[PlacedParam, ...]
    """In dependency order; in the order of the text where that is free."""
    sound: bool
    """Whether no problem was found, so that :attr:`space` can be walked."""

    lenient: bool = False
    """Whether flags changed the space, so that what the file says about it may
    have become void: that is left out, where without flags it is an error."""

    extends: bool = False
    """Whether other files are extended, which may say more than can hold here."""

    meant: frozenset[str] = frozenset()
    """Settings that a misspelt key was meant to be, as far as one can tell: they are
    not said to be missing too."""

    @property
    def space(self) -> Space:
        """The space without places, and without what flags or this file made void."""
        bare = Space(params=tuple(param.bare() for param in self.params))
        return pruned(bare) if (self.lenient or self.extends) and self.sound else bare

    def __getitem__(self, name: str) -> PlacedParam:
        return next(param for param in self.params if param.name == name)

    def __contains__(self, name: object) -> bool:
        return any(param.name == name for param in self.params)
