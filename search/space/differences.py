"""What differs between two documents of a study, as its space file would say it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from search.space.settings import Value

_ABSENT = "not there"


def diff(
    old: Mapping[str, Any], new: Mapping[str, Any], defaults: Mapping[str, Value] | None = None
) -> list[str]:
    """What differs, a line each; params whole, other sections key by key.

    Args:
        old: A document (``document.to_document``), or a part of one.
        new: Another.
        defaults: Of settings: what a trial has where the space does not name one.

    Returns:
        E.g. ``["space.lr: {float: [0.0003, 0.03], log: true} -> 0.001",
        "epochs.max: 18 -> 27"]``; empty when they are equal. The order of keys
        is no difference. Of points to try first only what does not follow from
        the space's own changes is told.
    """
    lines: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key), new.get(key)
        if key == "first" and key in old and key in new:
            lines += _points(was or (), now or (), _changed(old, new))
        elif key == "space" and isinstance(was, dict) and isinstance(now, dict):
            lines += _section(was, now, "space.", defaults or {})
        else:
            one, other = ({key: part[key]} if key in part else {} for part in (old, new))
            lines += _section(one, other, "", {})
    return lines


def _section(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str, defaults: Mapping[str, Value]
) -> list[str]:
    lines: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key), new.get(key)
        if key in old and key in new and was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            lines += _section(was, now, f"{prefix}{key}.", {})
            continue
        unnamed = f"{_short(defaults[key])} (default)" if key in defaults else _ABSENT
        said = (_short(part[key]) if key in part else unnamed for part in (old, new))
        lines.append(f"{prefix}{key}: {' -> '.join(said)}")
    return lines


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Params whose domain is another one."""
    one, other = old.get("space", {}), new.get("space", {})
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def _points(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], changed: set[str]
) -> list[str]:
    """What differs between points to try first. Each holds all params that act in it,
    so a change of the space changes them too: values of what changed, and params that
    came or went with it. That is left out."""
    if len(old) != len(new):
        return [f"first: {len(old)} points -> {len(new)}"]
    lines = []
    for one, other in zip(old, new, strict=True):
        names = [
            name
            for name in dict.fromkeys([*one, *other])
            if one.get(name) != other.get(name)
            and not (changed and (name in changed or name not in one or name not in other))
        ]
        if names:
            was, now = (
                {name: each[name] for name in names if name in each} for each in (one, other)
            )
            lines.append(f"first: {_short(was)} -> {_short(now)}")
    more = f", and in {len(lines) - 1} more points" if len(lines) > 1 else ""
    return [f"{lines[0]}{more}"] if lines else []


def _short(value: object) -> str:
    """A value as a space file would have it: a plain one and a list bare."""
    if isinstance(value, dict):
        if set(value) in ({"value"}, {"choice"}):
            return _short(next(iter(value.values())))
        return f"{{{', '.join(f'{key}: {_short(part)}' for key, part in value.items())}}}"
    if isinstance(value, (list, tuple)):
        parts = [_short(part) for part in value]
        if len(parts) == 1 and isinstance(value[0], dict):
            return parts[0]
        return f"[{', '.join(parts)}]"
    return value if isinstance(value, str) else json.dumps(value)
