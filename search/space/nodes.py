"""A text as a tree of values that know their place. No meaning yet.

Three shapes (scalar, items, entries), all frozen. Aliases are already
followed; keys are unique within one :class:`Entries`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from search.problems import Place
from search.space.secrets import masked
from search.space.settings import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A single value."""

    value: Value | None
    """As YAML 1.2's core schema reads it; finite; ints fit 64 bits."""
    raw: str
    """As written, without quotes."""
    place: Place

    @property
    def shown(self) -> str:
        """The value as a message quotes it."""
        return quote(self.value) if isinstance(self.value, str) else short(self.raw or "null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A sequence."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key with its value."""

    key: Scalar
    value: Node

    @property
    def name(self) -> str:
        """The key as written: ``1`` and ``no`` are names like any other."""
        return self.key.raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """A mapping, in the order of the text."""

    entries: tuple[Entry, ...]
    place: Place

    def get(self, name: str) -> Entry | None:
        """The entry of that name."""
        return next((entry for entry in self.entries if entry.name == name), None)


Node: TypeAlias = Scalar | Items | Entries


def kind_of(node: Node) -> str:
    """What a node is, for a message: ``text``, ``a list``, ..."""
    match node:
        case Items():
            return "a list"
        case Entries():
            return "a mapping"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool()):
            return "true or false"
        case Scalar(value=str()):
            return "text"
        case Scalar():
            return "a number"


def short(text: str, limit: int = 60) -> str:
    """``text``, its middle left out where it is longer than ``limit``."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 20]}...{text[-17:]}"


def quote(text: str) -> str:
    """``text`` in quotes, shortened, passwords in URLs masked."""
    return f"'{short(masked(text))}'"


def listed(words: Sequence[str], limit: int = 12) -> str:
    """``a, b, c``; the rest is counted where there are more than ``limit``."""
    if len(words) <= limit:
        return ", ".join(words)
    return f"{', '.join(words[: limit - 2])} and {len(words) - limit + 2} more"


class Source:
    """A text with the lines that its places show.

    Args:
        file: What the places are named after.
        text: What is read.
        before: Shown in front of the first line (``space.lr=`` of a flag).
    """

    def __init__(self, file: str, text: str, before: str = "") -> None:
        self.file = file
        self.text = text
        self._before = before
        breaks = [match.end() for match in re.finditer(r"\r\n|\r|\n", text)]
        self._starts = [0, *breaks]
        self._shown: dict[int, str] = {}

    def place(self, start: int, end: int) -> Place:
        """The place of ``text[start:end]``, cut at the end of its first line.

        Args:
            start: Characters from the start of the text, >= 0.
            end: One past the last character; an empty span marks one column.
        """
        start = min(start, len(self.text))
        row = bisect_right(self._starts, start) - 1
        first = self._starts[row]
        line = self._line(row)
        marked = self.text[start : min(end, first + len(line))].rstrip()
        before = len(self._before) if row == 0 else 0
        return Place(
            file=self.file,
            line=row + 1,
            column=before + start - first + 1,
            length=max(1, len(marked)),
            text=self._before + line if before else line,
        )

    def _line(self, row: int) -> str:
        """The line without its break, passwords masked; made once."""
        if row not in self._shown:
            last = self._starts[row + 1] if row + 1 < len(self._starts) else len(self.text)
            self._shown[row] = masked(self.text[self._starts[row] : last].rstrip("\r\n"))
        return self._shown[row]
