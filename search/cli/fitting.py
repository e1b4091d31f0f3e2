"""Rows of a table made to fit a terminal: what is worth least gives way first.

Pure. First headings become short, then whole columns go, then settings from the
end of a row, counted as ``+2``. A number is never cut or wrapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.cli.columns import GAP, align
from search.cli.figures import setting_texts
from search.problems import printable
from search.space.settings import Value

ROOM = 46
"""Cells for settings, for which droppable columns go: about three settings."""

_ENDLESS = 1_000_000
"""Cells that nothing has to be made to fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column, from its heading to its last row."""

    head: str
    cells: tuple[str, ...]
    short: str = ""
    """The heading where there is little room; empty: the same."""
    right: bool = False
    worth: int | None = None
    """Columns of less worth go first; None never goes."""


def fitted(
    columns: Sequence[Column],
    points: Sequence[Mapping[str, Value] | None],
    names: Sequence[str],
    *,
    width: int | None,
) -> list[str]:
    """A heading and a line for each row, none longer than ``width`` where that
    can be had without cutting a number.

    Args:
        columns: All of as many cells as there are ``points``.
        points: The settings of each row; None is a row without.
        names: Settings to show, the most telling first.
        width: Cells of the terminal; None leaves everything as it is.
    """
    texts = [[] if point is None else setting_texts(point, names) for point in points]
    needed = max((len(GAP.join(row)) for row in texts), default=0)
    shown = list(columns)
    width = _ENDLESS if width is None else width
    room = _room(shown, width, short=False)
    short = room < needed
    if short:
        room = _room(shown, width, short=True)
    going = sorted((each for each in columns if each.worth is not None), key=_worth)
    while going and room < min(needed, ROOM):
        shown.remove(going.pop(0))
        room = _room(shown, width, short=True)
    rows = [[*(_head(each, short=short) for each in shown), "settings"]]
    rows += [
        [*(each.cells[index] for each in shown), printable(whole(row, room))]
        for index, row in enumerate(texts)
    ]
    return align(rows, right=[index for index, each in enumerate(shown) if each.right])


def whole(texts: Sequence[str], room: int) -> str:
    """As many whole texts as fit ``room`` cells; ``+2`` counts the others."""
    for count in range(len(texts), 0, -1):
        left_out = [f"+{len(texts) - count}"] if count < len(texts) else []
        line = GAP.join([*texts[:count], *left_out])
        if len(line) <= room:
            return line
    return f"+{len(texts)}" if texts else ""


def _room(columns: Sequence[Column], width: int, *, short: bool) -> int:
    """Cells that the columns leave for settings."""
    widths = [
        max(len(_head(each, short=short)), *(len(cell) for cell in each.cells), 0)
        for each in columns
    ]
    return max(width - sum(widths) - len(GAP) * len(columns), len("settings"))


def _head(column: Column, *, short: bool) -> str:
    return column.short if short and column.short else column.head


def _worth(column: Column) -> int:
    assert column.worth is not None
    return column.worth
