"""What went wrong with something the user gave us, and how it is shown.

A :class:`Problem` is a place, a fact about the input and one thing to type
instead. A :class:`SearchError` carries all problems found in one go together
with the process's exit status. :func:`render` is the only code that turns a
problem into text. A failure of our own code is never a SearchError.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from search.synonyms import SYNONYMS


class Exit(IntEnum):
    """Exit statuses of the ``search`` command; part of its public interface."""

    DONE = 0
    BUG = 1
    USAGE = 2
    DATA = 3
    CONFLICT = 4
    FAILURES = 5
    MISSING = 69
    STORAGE = 74
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A span of one line of a text that the user wrote."""

    file: str
    """The file as the user named it, or the flag it came from (``--set``)."""
    line: int
    """1-based."""
    column: int
    """1-based, counted in characters."""
    length: int = 1
    """Characters to underline on that line, >= 1."""
    text: str = ""
    """The whole source line, without its line break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fact about the input that stops us, or that the user should know."""

    fact: str
    """A statement about the input, lower case, no full stop."""
    fix: str = ""
    """One thing to type or the allowed values; empty when there is none."""
    place: Place | None = None
    level: str = "error"
    """``error`` stops the command; ``warning`` is shown and passed over; ``note``
    is shown by ``search plan`` alone."""
    sums_up: bool = False
    """Says something of the other problems, and is none of its own."""


class SearchError(Exception):
    """The user's input cannot be used. Shown without a traceback.

    Args:
        problems: At least one, in the order of the input.
        status: The exit status of the command.
    """

    def __init__(self, problems: Iterable[Problem], status: Exit = Exit.USAGE) -> None:
        self.problems = tuple(problems)
        self.status = status
        if not self.problems:
            raise ValueError("a SearchError needs at least one problem")
        super().__init__("\n".join(render(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip from a child process."""
        return (SearchError, (self.problems, self.status))


def fail(fact: str, *, fix: str = "", status: Exit = Exit.USAGE) -> SearchError:
    """A SearchError of one problem without a place in a file."""
    return SearchError([Problem(fact=fact, fix=fix)], status)


def printable(text: str) -> str:
    """``text`` with control and format characters escaped, so that nothing a
    user's file holds can move the cursor or reorder a terminal's line."""
    return "".join(
        char
        if char == "\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def render(problem: Problem) -> str:
    """The problem as text, without a trailing line break.

    Of a long source line the part around the mark is shown.

    Source: the layout of rustc's diagnostics, without colour.
    """
    head = f"{problem.level}: {printable(problem.fact)}"
    place = problem.place
    if place is None:
        return "\n".join([head, *([f"  fix: {printable(problem.fix)}"] if problem.fix else [])])
    lines = [f"{printable(place.file)}:{place.line}:{place.column}: {head}"]
    margin = " " * len(str(place.line)) + " "
    if place.text:
        before, marked, after = _shown(place)
        pad = "".join("\t" if char == "\t" else " " * _width(char) for char in before)
        lines += [
            f"{margin}|",
            f"{place.line} | {before}{marked}{after}".rstrip(),
            f"{margin}| {pad}{'^' * max(1, _width(marked))}",
        ]
    if problem.fix:
        lines.append(f"{margin}= fix: {printable(problem.fix)}")
    return "\n".join(lines)


_WIDEST = 160
"""Characters of a source line that are shown."""


def _shown(place: Place) -> tuple[str, str, str]:
    """The line before, in and after the mark; what is cut off is ``...``."""
    start = place.column - 1
    stop = min(start + place.length, start + _WIDEST // 2)
    first = max(0, stop - _WIDEST // 2) if len(place.text) > _WIDEST else 0
    first = min(first, start)
    last = min(len(place.text), first + _WIDEST)
    before = ("..." if first else "") + printable(place.text[first:start])
    after = printable(place.text[stop:last]) + ("..." if last < len(place.text) else "")
    return before, printable(place.text[start:stop]), after


def _width(text: str) -> int:
    """Columns of a terminal: two for East Asian wide characters, none for marks."""
    return sum(
        0
        if unicodedata.category(char) in {"Mn", "Me"}
        else 2
        if unicodedata.east_asian_width(char) in {"W", "F"}
        else 1
        for char in text
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` most likely stands for; else an empty string.

    In this order: the same but for case and hyphens; what other tools call it
    (``synonyms.py``); one that begins as the other does; one that has all parts of it
    (``f1`` in ``macro_f1``, ``vit_base`` in ``vit_b_16``); one that is written nearly
    so. Of several the nearest, of equally near ones the first.

    Source: Ratcliff/Obershelp similarity of at least .75 (difflib), or the same letters.
    """
    if len(word) > 64:  # no word that we know; the comparison is quadratic
        return ""
    words, typed = list(known), _bare(word)
    for meant in (typed, *SYNONYMS.get(typed, ())):
        for each in words:
            if _bare(each) == meant:
                return each
    for fits in (_begins, _has_parts, _alike):
        near = [each for each in words if fits(typed, _bare(each))]
        if near:
            return max(near, key=lambda each: _likeness(typed, _bare(each)))
    return ""


def _bare(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")


def _begins(word: str, known: str) -> bool:
    """Whether one begins with the other, and that says something."""
    return min(len(word), len(known)) > 2 and (known.startswith(word) or word.startswith(known))


def _has_parts(word: str, known: str) -> bool:
    """Whether each part of ``word`` begins a part of ``known``, or the other way round;
    one of them is the same."""
    parts, there = (set(re.split(r"[_.:/]+", each)) - {""} for each in (word, known))
    return any(len(part) > 1 for part in parts & there) and all(
        any(one.startswith(part) or part.startswith(one) for one in there) for part in parts
    )


def _alike(word: str, known: str) -> bool:
    """Whether they are written nearly the same."""
    return sorted(word) == sorted(known) or _likeness(word, known) >= _NEAR


_NEAR = 0.75


def _likeness(word: str, known: str) -> float:
    return difflib.SequenceMatcher(None, known, word).ratio()
