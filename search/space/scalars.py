"""Readers of single values: a node in, a typed value or a problem out.

Every reader returns None after it has reported why; callers go on, so that
all problems of a text are found in one go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from search.problems import did_you_mean
from search.space.colons import told_of_slip
from search.space.nodes import Entries, Entry, Node, Scalar, kind_of, listed, quote
from search.space.report import Report

T = TypeVar("T")
Word = TypeVar("Word", bound=str)
Figure = TypeVar("Figure", int, float)

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a number may be."""

    low: float | None = None
    high: float | None = None
    open: bool = False
    """Whether low and high themselves are left out."""

    def hold(self, number: float) -> bool:
        """Whether ``number`` is inside."""
        if self.open:
            return (self.low is None or number > self.low) and (
                self.high is None or number < self.high
            )
        return (self.low is None or number >= self.low) and (
            self.high is None or number <= self.high
        )

    def __str__(self) -> str:
        if self.open and self.low is not None and self.high is not None:
            return f"a number between {plain(self.low)} and {plain(self.high)}"
        if self.low is not None and self.high is not None:
            return f"a number from {plain(self.low)} to {plain(self.high)}"
        if self.low is not None:
            return f"a number {'above' if self.open else 'of at least'} {plain(self.low)}"
        if self.high is not None:
            return f"a number {'below' if self.open else 'of at most'} {plain(self.high)}"
        return "a number"


ANY = Bounds()


def plain(value: object) -> str:
    """A value as one would type it: ``10`` for 10.0, ``true`` for True."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def whole(node: Node, what: str, report: Report, bounds: Bounds = ANY) -> int | None:
    """A whole number; ``32.0`` is refused with ``32`` as the fix."""
    if not isinstance(node, Scalar) or isinstance(node.value, (bool, str)) or node.value is None:
        report.error(
            node.place, f"{what} is {_found(node)}, not a whole number", _number(node, bounds)
        )
        return None
    if isinstance(node.value, float):
        near = plain(float(round(node.value))) if abs(node.value) < 1e15 else "a whole number"
        report.error(node.place, f"{what}: {node.shown} is not written as a whole number", near)
        return None
    return _bounded(node.value, node, what, report, bounds)


def number(node: Node, what: str, report: Report, bounds: Bounds = ANY) -> float | None:
    """A number; whole ones become floats."""
    if not isinstance(node, Scalar) or isinstance(node.value, (bool, str)) or node.value is None:
        report.error(node.place, f"{what} is {_found(node)}, not a number", _number(node, bounds))
        return None
    return _bounded(float(node.value), node, what, report, bounds)


def text(node: Node, what: str, report: Report) -> str | None:
    """A text that is not empty; ``name: 2024`` is the text 2024."""
    if (
        not isinstance(node, Scalar)
        or node.value is None
        or isinstance(node.value, bool)
        or not node.raw.strip()
    ):
        report.error(node.place, f"{what} is {_found(node)}, not text", "put it in quotes")
        return None
    if "${env:" in node.raw:
        report.error(
            node.place, f"{what}: ${{env:NAME}} is read in storage only", "write the text itself"
        )
        return None
    return node.raw


def one_of(node: Node, what: str, report: Report, allowed: Sequence[Word]) -> Word | None:
    """One of a few words."""
    if not isinstance(node, Scalar) or node.value is None:
        report.error(node.place, f"{what} is {_found(node)}", f"one of {listed(allowed)}")
        return None
    for word in allowed:
        if word == node.raw:
            return word
    near = did_you_mean(node.raw, allowed)
    fact = f"{what}: {quote(node.raw)} is not known"
    report.error(node.place, fact, near or f"one of {listed(allowed)}")
    return None


def is_null(node: Node) -> bool:
    """Whether nothing, ``null`` or ``~`` was written."""
    return isinstance(node, Scalar) and node.value is None


@dataclass(frozen=True, slots=True)
class Fields:
    """The entries of a section whose keys were checked."""

    name: str
    node: Entries
    report: Report

    def entry(self, key: str) -> Entry | None:
        """The entry of ``key``."""
        return self.node.get(key)

    def read(self, key: str, reader: Callable[[Node, str, Report], T | None], default: T) -> T:
        """The value of ``key``, or ``default`` where it is absent or wrong."""
        entry = self.node.get(key)
        if entry is None:
            return default
        value = reader(entry.value, self.label(key), self.report)
        return default if value is None else value

    def read_or_none(
        self, key: str, reader: Callable[[Node, str, Report], T | None], default: T | None = None
    ) -> T | None:
        """Like :meth:`read`, but an explicit ``null`` is None."""
        entry = self.node.get(key)
        if entry is None:
            return default
        if is_null(entry.value):
            return None
        value = reader(entry.value, self.label(key), self.report)
        return default if value is None else value

    def label(self, key: str) -> str:
        """How messages name the key."""
        return f"{self.name}.{key}" if self.name else key


def fields_of(
    node: Node, name: str, report: Report, known: Collection[str], example: str
) -> Fields | None:
    """The section as a mapping; keys that are not known are reported.

    Args:
        example: What a right value looks like, for the fix.
    """
    if not isinstance(node, Entries):
        if not told_of_slip(node, known, report):
            report.error(node.place, f"{name} is {_found(node)}, not a mapping", example)
        return None
    for entry in node.entries:
        if entry.name not in known:
            unknown_key(entry.key, f"{name} has no key", report, known)
    return Fields(name, node, report)


def unknown_key(key: Scalar, fact: str, report: Report, known: Collection[str]) -> None:
    """Report a key that nothing reads."""
    if told_of_slip(key, known, report):
        return
    near = did_you_mean(key.raw, known)
    report.error(key.place, f"{fact} {quote(key.raw)}", near or f"one of {listed(sorted(known))}")


def _bounded(
    value: Figure, node: Scalar, what: str, report: Report, bounds: Bounds
) -> Figure | None:
    if bounds.hold(value):
        return value
    report.error(node.place, f"{what}: {node.shown} is out of range", str(bounds))
    return None


def _found(node: Node) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return f"the text {node.shown}" if node.value else "empty"
    if isinstance(node, Scalar) and node.value is not None:
        return node.shown
    return kind_of(node)


def _number(node: Node, bounds: Bounds) -> str:
    """The number that a text nearly is (``'32'``, ``1_000``), else what is allowed."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and len(node.value) < 40:
        bare = node.value.replace("_", "").replace(",", ".").strip()
        if _NUMBER.fullmatch(bare):
            return bare
    return str(bounds)
