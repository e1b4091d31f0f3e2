"""A colon, or the space after it, that was not typed: where, and what to type.

YAML reads ``lr 3e-4`` as text, and complains about it a line later or not at
all. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from search.problems import Place
from search.space.nodes import Node, Scalar, Source
from search.space.report import Report

_KEY = re.compile(r"([A-Za-z_]\w*)(:?)[ \t]*(.*)")
_COLON = re.compile(r":(\s|$)")
_BEFORE_BRACKET = re.compile(r"([A-Za-z_]\w*)[ \t]*$")


@dataclass(frozen=True, slots=True)
class Slip:
    """Something that was not typed."""

    place: Place
    """Where it belongs."""
    fact: str
    fix: str


def told_of_slip(node: Node, known: Collection[str], report: Report) -> bool:
    """Report the slip in a text that stands where ``key: value`` is needed.

    Args:
        node: The text, or a key that nothing reads.
        known: Keys that could stand there.
        report: Told, if there is one.

    Returns:
        Whether there is one.
    """
    slip = _slip_in(node, known) if isinstance(node, Scalar) else None
    if slip is not None:
        report.error(slip.place, slip.fact, slip.fix)
    return slip is not None


def _slip_in(node: Scalar, known: Collection[str]) -> Slip | None:
    place = node.place
    marked = place.text[place.column - 1 : place.column - 1 + place.length]
    if "{" in marked or "[" in marked:  # YAML took the colon inside the brackets
        marked = place.text[place.column - 1 :].rstrip()
    found = _KEY.fullmatch(marked)
    if found is None or found[1] not in known:
        return None
    return _slip(place, *found.groups())


def slip_before(source: Source, index: int, context: int | None) -> Slip | None:
    """The slip that makes a text no YAML.

    Args:
        source: The text.
        index: Where the parser noticed, in characters.
        context: Where what it was reading began; None when it does not say.
    """
    here = source.text[source.text.rfind("\n", 0, index) + 1 : index]
    word = _BEFORE_BRACKET.search(here[-80:])  # a search of a long line is quadratic
    if word is not None and source.text[index : index + 1] in ("[", "{"):
        place = source.place(index - len(word[0]), index)
        return _slip(place, word[1], "", source.text[index])
    if context is not None and context < index:
        return _slip_on_line(source, context)
    if (here.strip() and source.text[index : index + 1] != ":") or _COLON.search(here):
        return None
    # A text that goes on to the next line, or ends: the last line with words.
    end = len(source.text[: index - len(here)].rstrip())
    return _slip_on_line(source, end - 1) if end else None


def _slip_on_line(source: Source, index: int) -> Slip | None:
    first = source.text.rfind("\n", 0, index + 1) + 1
    line = re.split(r"[\r\n]", source.text[first:], maxsplit=1)[0]
    words = line.split(" #")[0].rstrip()
    start = len(words) - len(words.lstrip(" -"))
    found = _KEY.fullmatch(words[start:])
    if found is None or _COLON.search(words):
        return None
    return _slip(source.place(first + start, first + len(words)), *found.groups())


def _slip(place: Place, key: str, colon: str, value: str) -> Slip:
    at = replace(place, column=place.column + len(key) + len(colon), length=1)
    if colon:
        return Slip(at, f"a space is missing after {key}:", f"{key}: {value}")
    rest = f" {value}..." if value in ("[", "{") else f" {value}" if value else ""
    return Slip(at, f"a colon is missing after {key}", f"{key}:{rest}")
