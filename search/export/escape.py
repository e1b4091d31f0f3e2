"""Text of users' files made harmless for where it is shown. Pure, no imports of ours.

Class names, study names and paths come from folders and CSV files that anyone
may have made; a card, a page or a spreadsheet must show them, not obey them.
"""

from __future__ import annotations

import html as _html
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """``text`` on one line, control and format characters as ``\\x1b``-like escapes."""
    return "".join(
        char
        if unicodedata.category(char) not in _HIDDEN
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def html(text: str) -> str:
    """``text`` for HTML, also inside a quoted attribute."""
    return _html.escape(visible(text), quote=True)


def markdown(text: str) -> str:
    """``text`` for one line or table cell of Markdown.

    What could become a link, a tag, emphasis, a table border or an autolink is a
    numeric entity: ``a|b`` is ``a&#124;b``; ordinary prose stays readable.
    """
    shown = visible(text)
    pieces = []
    for position, char in enumerate(shown):
        before, after = shown[max(0, position - 1) : position], shown[position + 1 : position + 2]
        plain = (
            char.isalnum()
            or char in " -,;()/'"
            or (char == "_" and before.isalnum() and after.isalnum())
            or (char == "." and (after in ("", " ") or (before.isdigit() and after.isdigit())))
            or (char == ":" and after == " ")
        )
        pieces.append(char if plain else f"&#{ord(char)};")
    return "".join(pieces)


def csv(text: str) -> str:
    """``text`` for a CSV cell; quoting is the writer's, formulas are stopped here.

    Source: OWASP, "CSV Injection": cells that start with ``= + - @`` are run by
    spreadsheets, so a single quote is put before them.
    """
    shown = visible(text)
    return f"'{shown}" if shown.lstrip()[:1] in ("=", "+", "-", "@", "|", "%") else shown
