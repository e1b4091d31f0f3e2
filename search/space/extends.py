"""``extends:`` -> one tree out of a chain of files. Pure: files come in as values.

Mappings merge by key, an entry of ``space`` and a list are replaced whole, and
``null`` removes what an extended file says. Every node keeps the place where it
was written, so that a problem points into the file that wrote the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from search.problems import SearchError, fail
from search.space.nodes import Entries, Entry, Node, Scalar, Source, kind_of, listed, quote, short
from search.space.reader import decode, read
from search.space.report import Report
from search.space.scalars import is_null, text
from search.space.sections import SOURCES
from search.space.urls import is_url

KEY = "extends"
MAX_FILES = 8
"""In one chain, the first included."""
EXAMPLE = "extends: preset/small-data, or a path to another space file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """A file that another one extends."""

    file: str
    """What its places are named after, e.g. ``preset/small-data``."""
    text: bytes
    identity: str
    """The same for the same file, however it is named."""


Fetch: TypeAlias = Callable[[str], Extended]
"""From what ``extends`` says to that file; raises SearchError without a place."""


def no_files(name: str) -> Extended:
    """A :data:`Fetch` for texts that stand alone."""
    raise fail(f"extends: {quote(name)} cannot be read here", fix="the whole text in one file")


def extend(root: Entries, *, identity: str, fetch: Fetch, report: Report) -> Entries:
    """``root`` laid over the files that it extends; ``report.inherited`` names them.

    Args:
        root: The tree of the file that was named.
        identity: Of that file, as :attr:`Extended.identity`.
        fetch: Reads the others.

    Raises:
        SearchError: If an extended file is not there or no YAML, with all problems
            so far: without it, what else seems wrong may only be missing.
    """
    names = [report.file]
    seen = {identity: report.file}
    trees = [root]
    while (entry := trees[-1].get(KEY)) is not None:
        trees[-1] = _without(trees[-1], KEY)
        found = _parent(entry, names, seen, fetch, report)
        if found is None:
            report.stop()  # what else seems wrong may only be missing
            break
        names.append(found.file)
        seen[found.identity] = found.file
        report.inherited = tuple(names[1:])
        tree = _tree(found, entry, report)
        if tree is None:
            report.stop()
            break
        trees.append(tree)
    merged = trees.pop()
    while trees:
        merged = _laid_over(_unnamed(merged), trees.pop(), (), report)
    return merged


def _parent(
    entry: Entry, names: list[str], seen: dict[str, str], fetch: Fetch, report: Report
) -> Extended | None:
    """The file that ``entry`` names; None after a report."""
    place = entry.value.place
    if is_null(entry.value):
        report.error(entry.key.place, f"{KEY} has no value", EXAMPLE)
        return None
    name = text(entry.value, KEY, report)
    if name is None:
        return None
    if is_url(name):
        report.error(place, f"{KEY} is a URL, not a path", "fetch the file, and name its path")
        return None
    if len(names) == MAX_FILES:
        report.error(
            place, f"a chain of more than {MAX_FILES} files: {listed(names)}", "fewer in between"
        )
        return None
    try:
        found = fetch(name)
    except SearchError as error:
        for problem in error.problems:
            report.error(place, problem.fact, problem.fix)
        return None
    if found.identity in seen:
        first = seen[found.identity]
        circle = [*names[names.index(first) :], first]
        report.error(place, f"files extend each other: {' -> '.join(circle)}", "remove this line")
        return None
    return found


def _tree(found: Extended, entry: Entry, report: Report) -> Entries | None:
    try:
        content = decode(found.text, file=found.file)
    except SearchError as error:
        raise SearchError([*report.errors, *error.problems], error.status) from None
    node = read(Source(found.file, content.removeprefix("\ufeff")), report)
    if isinstance(node, Entries):
        return node
    what = "empty" if node is None else f"{kind_of(node)}, not a mapping"
    report.error(entry.value.place, f"{short(found.file)} is {what}", "space: {lr: 1e-3} in it")
    return None


def _laid_over(base: Entries, over: Entries, path: tuple[str, ...], report: Report) -> Entries:
    """``base`` with what ``over`` says in its place, in the order of ``base``."""
    if path == ("data",) and any(
        entry.name in SOURCES and not is_null(entry.value) for entry in over.entries
    ):
        for source in SOURCES:
            base = _without(base, source)
    kept = {entry.name: entry for entry in base.entries}
    for entry in over.entries:
        old = kept.get(entry.name)
        if _removes(entry.value):
            if old is not None:
                del kept[entry.name]
                continue
            if path in ((), ("space",)):
                report.error(
                    entry.value.place,
                    f"null removes nothing: no extended file has {quote(entry.name)}"
                    + (" in its space" if path else ""),
                    "remove the line",
                )
                continue
        kept[entry.name] = entry if old is None else _merged(old, entry, path, report)
    return Entries(entries=tuple(kept.values()), place=over.place)


def _merged(old: Entry, new: Entry, path: tuple[str, ...], report: Report) -> Entry:
    if path == ("space",):
        return new
    if isinstance(old.value, Entries) and isinstance(new.value, Entries):
        value: Node = _laid_over(old.value, new.value, (*path, new.name), report)
        return replace(new, value=value)
    return new


def _removes(node: Node) -> bool:
    """Whether ``null`` was written; a key with nothing behind it is a slip."""
    return isinstance(node, Scalar) and node.value is None and bool(node.raw)


def _unnamed(root: Entries) -> Entries:
    """The tree without ``study.name``: a study is named by its own file, for two
    spaces under one name are refused."""
    study = root.get("study")
    if study is None or not isinstance(study.value, Entries):
        return root
    bare = Entry(key=study.key, value=_without(study.value, "name"))
    return Entries(
        entries=tuple(bare if entry is study else entry for entry in root.entries),
        place=root.place,
    )


def _without(node: Entries, name: str) -> Entries:
    return Entries(
        entries=tuple(entry for entry in node.entries if entry.name != name), place=node.place
    )
