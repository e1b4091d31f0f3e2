"""Keys at the top of a space file that belong into one of its sections."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from search.space.nodes import Entries, Entry, Scalar, short
from search.space.report import Report
from search.space.scalars import unknown_key
from search.space.sections import KEYS


def tell_unknown(
    entry: Entry, root: Entries, settings: Collection[str], known: Sequence[str], report: Report
) -> None:
    """Report a key that no section is called, with where it belongs."""
    key, value = entry.key, entry.value
    section = next((name for name, keys in KEYS.items() if key.raw in keys), "")
    if key.raw in settings:
        there = root.get("space") is not None
        fix = "move this line under space:" if there else f"space: {{{key.raw}: ...}}"
        report.error(key.place, f"{key.raw} is a setting of a trial", fix)
    elif section:
        shown = short(value.raw) if isinstance(value, Scalar) and value.raw else "..."
        fact = f"{key.raw} is a key of {section}, not of the file"
        report.error(key.place, fact, f"{section}: {{{key.raw}: {shown}}}")
    else:
        unknown_key(key, "a space file has no key", report, known)
