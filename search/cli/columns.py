"""Aligned text for a terminal and for a pipe.

Unlike a rich table it is never cut to the width of a terminal, so that
``| grep`` and ``| awk`` see everything; what makes itself fit a terminal asks
for :func:`terminal_width`. Colour is added only on a terminal, and never with
NO_COLOR.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Sequence

GAP = "  "


def align(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """Rows as lines whose columns begin (or, in ``right``, end) together.

    Args:
        rows: Cells; a row may be shorter than others.
        right: Indices of the columns with figures.

    Returns:
        One line per row without trailing spaces. Widths are terminal cells: a
        wide character counts 2.
    """
    from rich.cells import cell_len

    count = max((len(row) for row in rows), default=0)
    widths = [
        max((cell_len(row[index]) for row in rows if index < len(row)), default=0)
        for index in range(count)
    ]
    lines = []
    for row in rows:
        cells = []
        for index, cell in enumerate(row):
            pad = " " * (widths[index] - cell_len(cell))
            cells.append(pad + cell if index in right else cell + pad)
        lines.append(GAP.join(cells).rstrip())
    return lines


def indent(lines: Sequence[str], by: int = 2) -> list[str]:
    """The lines, each that is not empty moved right."""
    return [" " * by + text if text else text for text in lines]


def terminal_width() -> int | None:
    """Cells of a line of the terminal that stdout is; None where it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def fits(lines: Sequence[str], width: int | None) -> bool:
    """Whether no line is longer than ``width``; None is without a limit."""
    from rich.cells import cell_len

    return width is None or all(cell_len(line) <= width for line in lines)


def packed(
    parts: Sequence[str], *, width: int | None, first: str = "", rest: str = "", gap: str = GAP
) -> list[str]:
    """Parts on as few lines as fit ``width``; none is broken.

    Args:
        parts: E.g. settings, or words.
        width: None puts all of them on one line.
        first: What the first line begins with.
        rest: What the others begin with.
        gap: Between two parts of a line.
    """
    lines: list[str] = []
    line = first
    for index, part in enumerate(parts):
        longer = line + part if index == 0 else line + gap + part
        if index and not fits([longer], width):
            lines.append(line)
            longer = rest + part
        line = longer
    return [*lines, line]


def dim(text: str) -> str:
    """``text``, faint where stdout is a terminal that wants colour."""
    return f"\x1b[2m{text}\x1b[0m" if _colour() else text


def bold(text: str) -> str:
    """``text``, bold where stdout is a terminal that wants colour."""
    return f"\x1b[1m{text}\x1b[0m" if _colour() else text


def _colour() -> bool:
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
