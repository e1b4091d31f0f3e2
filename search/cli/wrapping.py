"""Lines that go on below, indented, where a terminal is too narrow for them.

Pure. Nothing is lost and no word is broken: a path, a command or a number that is
longer than the line stays whole. Without a width every row is one line, for a pipe.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from search.cli.columns import GAP, align, fits, indent

_NARROWEST = 16
"""Cells of a last column below which it goes under its row instead of beside it."""
_BELOW = "    "


def wrapped(
    text: str, *, width: int | None, first: str = "", rest: str = "", gap: int = 1
) -> list[str]:
    """``text`` on as few lines as fit ``width``, broken at its spaces.

    Args:
        text: E.g. a sentence, or settings with two spaces between them.
        width: None puts all of it on one line.
        first: What the first line begins with.
        rest: What the others begin with.
        gap: Spaces in a row at which a line may end; 2 keeps ``lr 0.003`` together.

    Example: ``wrapped("lr 0.1  seed 3", width=10, rest="  ", gap=2) == ["lr 0.1", "  seed 3"]``.
    """
    lines: list[str] = []
    line, space = first, ""
    begun = False
    for part in re.split(f"( {{{gap},}})", text):
        if not part.strip(" "):
            space = part
            continue
        if begun and not fits([line + space + part], width):
            lines.append(line)
            line, space = rest, ""
        line += space + part
        space, begun = "", True
    return [*lines, line.rstrip()]


def hanging(
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    right: Collection[int] = (),
    gap: int = 1,
) -> list[list[str]]:
    """Each row's lines: aligned, and the last column goes on below itself.

    Where it would have too little room beside the others it goes under its row.

    Args:
        rows: Cells; a row may be shorter than others.
        width: Cells of a line; None gives one line for each row.
        right: Indices of the columns with figures.
        gap: Of the last column, as for :func:`wrapped`.
    """
    plain = align(rows, right=right)
    if fits(plain, width) or width is None:
        return [[line] for line in plain]
    last = max(len(row) for row in rows) - 1
    padded = [[*row, *[""] * (last + 1 - len(row))] for row in rows]
    # A mark keeps the padding of the last column but one.
    heads = [line[:-1] for line in align([[*row[:last], "|"] for row in padded], right=right)]
    beside = width - max(len(head) for head in heads) >= _NARROWEST
    found = []
    for head, row in zip(heads, padded, strict=True):
        text = row[last]
        if beside or not text or fits([head + text], width):
            rest = " " * len(head) if beside else _BELOW
            lines = wrapped(text, width=width, first=head, rest=rest, gap=gap)
        else:
            below = wrapped(text, width=width, first=_BELOW, rest=_BELOW, gap=gap)
            lines = [head.rstrip(), *below] if head.strip() else below
        found.append([line.rstrip() for line in lines])
    return found


def flat(blocks: Sequence[Sequence[str]]) -> list[str]:
    """The lines of all rows."""
    return [line for block in blocks for line in block]


def next_lines(rows: Sequence[Sequence[str]], *, width: int | None) -> list[str]:
    """Commands to type next, each with what it does: beside it, or above it as a
    comment, as a line that is broken cannot be copied."""
    lines = indent(align(rows))
    if not fits(lines, width):
        lines = indent([text for command, what in rows for text in (f"# {what}", command)])
    return ["next", *lines]


def within(width: int | None, cells: int) -> int | None:
    """What is left of ``width`` beside an indent of ``cells``."""
    return None if width is None else max(width - cells, len(GAP))
