"""``--set path=value`` and flags: nodes put into the tree before it is checked."""

from __future__ import annotations

from dataclasses import dataclass

from search.problems import Place, SearchError, did_you_mean
from search.space.nodes import Entries, Entry, Items, Node, Scalar, Source, listed, quote
from search.space.reader import read
from search.space.report import Report
from search.space.sections import SOURCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One value given on the command line."""

    path: str
    """Keys joined by dots, e.g. ``space.lr``."""
    text: str
    """The value, read as YAML unless ``literal``."""
    flag: str
    """What the user typed, e.g. ``--set space.lr=1e-3``: where problems are shown."""
    literal: bool = False
    """Whether ``text`` is taken as it stands (a path, a name)."""


def apply(
    root: Entries, overrides: tuple[Override, ...], known: tuple[str, ...], report: Report
) -> Entries:
    """``root`` with every override in place; later ones win.

    An override of one source of the images removes the others.

    Args:
        known: The keys at the top of a space file.
    """
    for override in overrides:
        value = _value(override, report)
        if value is None:
            continue
        keys = override.path.split(".")
        place = _path_place(override)
        if keys[0] not in known:
            near = did_you_mean(keys[0], known)
            report.error(
                place,
                f"there is nothing to set under {quote(keys[0])}",
                ".".join([near, *keys[1:]]) if near else f"one of {listed(known, 20)}",
            )
            continue
        if not all(keys):
            report.error(place, f"{quote(override.path)} is no path", "space.lr=1e-3")
            continue
        if keys[0] == "data" and len(keys) == 2 and keys[1] in SOURCES:
            root = _without_sources(root)
        changed = _put(root, keys, value, place, report)
        root = changed if isinstance(changed, Entries) else root
    return root


def _value(override: Override, report: Report) -> Node | None:
    head, line = _split(override)
    before = line[: len(line) - len(override.text)]
    source = Source(head, override.text, before)
    if override.literal:
        place = source.place(0, len(override.text))
        return Scalar(value=override.text, raw=override.text, place=place)
    found = Report()
    try:
        node = read(source, found)
    except SearchError:
        node = None
    report.problems += found.problems
    if node is None and not found.problems:
        return Scalar(value=None, raw="", place=source.place(0, 1))
    return node


def _split(override: Override) -> tuple[str, str]:
    """What places are named after, and the line they show."""
    head, _, line = override.flag.partition(" ")
    return (head, line) if line.endswith(override.text) and line else (head, override.text)


def _path_place(override: Override) -> Place:
    head, line = _split(override)
    at = max(line.find(override.path), 0)
    source = Source(head, line)
    shown = override.path if override.path in line else line
    return source.place(at, at + len(shown))


def _without_sources(root: Entries) -> Entries:
    data = root.get("data")
    if data is None or not isinstance(data.value, Entries):
        return root
    kept = tuple(entry for entry in data.value.entries if entry.name not in SOURCES)
    bare = Entries(entries=kept, place=data.value.place)
    return _with(root, Entry(key=data.key, value=bare))


def _put(node: Node, keys: list[str], value: Node, place: Place, report: Report) -> Node:
    """``node`` with ``value`` under ``keys``; sections that are missing are made."""
    if not keys:
        return value
    if isinstance(node, Items):
        report.error(place, f"{quote(keys[0])} cannot be set inside a list", "set the whole list")
        return node
    inside = node if isinstance(node, Entries) else Entries(entries=(), place=place)
    entry = inside.get(keys[0])
    if entry is None:
        key = Scalar(value=keys[0], raw=keys[0], place=place)
        entry = Entry(key=key, value=Entries(entries=(), place=place))
    changed = _put(entry.value, keys[1:], value, place, report)
    return _with(inside, Entry(key=entry.key, value=changed))


def _with(node: Entries, entry: Entry) -> Entries:
    """``node`` with ``entry`` in the place of the one of its name, or at the end."""
    if node.get(entry.name) is None:
        return Entries(entries=(*node.entries, entry), place=node.place)
    return Entries(
        entries=tuple(entry if old.name == entry.name else old for old in node.entries),
        place=node.place,
    )
