"""How times, sizes and settings are written, everywhere in the same way; metrics are
``search.space.figure``'s.

Pure. Texts that a user's data can hold (class names, paths, errors) pass
through :func:`search.problems.printable` before they reach a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from search.space.settings import Value

SPARKS = "▁▂▃▄▅▆▇█"

MAIN_SETTINGS = ("backbone", "unfreeze_depth", "lr", "backbone_lr_scale", "augmentation")
"""Shown first where there is no room for all."""


def setting(value: Value) -> str:
    """A setting's value: three significant digits for a float, else as typed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def settings(point: Mapping[str, Value], names: Iterable[str]) -> str:
    """One line of the named settings that are in ``point``; the backbone bare."""
    return "  ".join(setting_texts(point, names))


def setting_texts(point: Mapping[str, Value], names: Iterable[str]) -> list[str]:
    """The named settings that are in ``point``, a text each; the backbone bare."""
    return [
        setting(point[name]) if name == "backbone" else f"{name} {setting(point[name])}"
        for name in names
        if name in point
    ]


def main_first(names: Iterable[str]) -> tuple[str, ...]:
    """The names with MAIN_SETTINGS in front, the others in their order."""
    given = tuple(names)
    return tuple(name for name in MAIN_SETTINGS if name in given) + tuple(
        name for name in given if name not in MAIN_SETTINGS
    )


def clock(seconds: float) -> str:
    """Elapsed time: ``0:42``, ``12:05``, ``1:02:03``."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """A length of time with its units: ``18 s``, ``4 min 05 s``, ``1 h 02 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def ago(seconds: float) -> str:
    """How long ago: ``just now``, ``5 min ago``, ``3 h ago``, ``12 days ago``."""
    minutes = int(max(0.0, seconds)) // 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    hours = minutes // 60
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"


def size(count: int) -> str:
    """Bytes in decimal units, as disks and downloads are sold: ``98 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit in ("B", "kB", "MB") else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def millions(parameters: int) -> str:
    """Parameters in millions, one decimal: ``25.6``."""
    return f"{parameters / 1e6:.1f}"


def spark(values: Iterable[float]) -> str:
    """One block per value between the lowest and the highest; ``x`` for NaN."""
    numbers = tuple(values)
    finite = [number for number in numbers if math.isfinite(number)]
    if not finite:
        return "x" * len(numbers)
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    top = len(SPARKS) - 1
    return "".join(
        SPARKS[round((number - low) / span * top)] if math.isfinite(number) else "x"
        for number in numbers
    )
