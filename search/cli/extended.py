"""The files that a space file can extend: presets of this package, and the user's own."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from search.cli.space_source import at_hand, read_bytes
from search.problems import did_you_mean, fail, printable
from search.space.nodes import listed, short

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from search.space.extends import Extended

PREFIX = "preset/"


def presets() -> dict[str, str]:
    """What each preset is for, its opening comment, by name (``preset/small-data``)."""
    return {
        f"{PREFIX}{name}": _opening(file.read_text(encoding="utf-8"))
        for name, file in _presets().items()
    }


def fetch(name: str) -> Extended:
    """The file that ``extends: NAME`` means.

    A relative path starts at the current folder, as everywhere.

    Raises:
        SearchError: If there is none, with what there is.
    """
    from search.space.extends import Extended

    if name.startswith(PREFIX):
        known = _presets()
        file = known.get(name.removeprefix(PREFIX))
        if file is None:
            names = [f"{PREFIX}{each}" for each in known]
            fix = did_you_mean(name, names) or f"one of {listed(names)}"
            raise fail(f"there is no preset {short(printable(name))!r}", fix=fix)
        return Extended(file=name, text=file.read_bytes(), identity=name)
    path = Path(os.path.expanduser(name))  # leaves ~ of a user that there is not as it is
    if _absent(path):
        there = [*(f"{PREFIX}{each}" for each in _presets()), *map(str, at_hand(path.parent))]
        stems = {each.removesuffix(Path(each).suffix): each for each in there}
        near = did_you_mean(name.removesuffix(path.suffix), stems)
        fix = (
            stems[near]
            if near
            else f"one of {listed(there)}; a relative path starts at the current folder"
        )
        raise fail(f"{name}: no such file", fix=fix)
    return Extended(file=name, text=read_bytes(path), identity=identity_of(path))


def _absent(path: Path) -> bool:
    try:
        return not path.exists()
    except (OSError, ValueError):
        return False  # what is wrong with it is told where it is read


def identity_of(path: Path) -> str:
    """The same for the same file, however it is named."""
    try:
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError):
        return str(path)


def _presets() -> dict[str, Traversable]:
    folder = files("search") / "presets"
    found = [each for each in folder.iterdir() if each.name.endswith(".yaml")]
    return {each.name.removesuffix(".yaml"): each for each in sorted(found, key=lambda f: f.name)}


def _opening(text: str) -> str:
    """The first paragraph of comments, on one line."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#") or line.strip() == "#":
            if lines:
                break
            continue
        if "yaml-language-server" not in line:
            lines.append(line.lstrip("# ").strip())
    return " ".join(lines)
