"""YAML 1.2 text -> nodes with places. Refuses what no space file needs.

ruamel.yaml supplies the events; the tree and the meaning of plain scalars
(YAML 1.2's core schema: ``1e-5`` is a number, ``no`` is text) are ours, so that
no tag can build an object. Depth, size, aliases and numbers are bounded while
the events come in: hostile text is refused in well under a second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from search.problems import Place, Problem, SearchError
from search.space.colons import slip_before
from search.space.nodes import Entries, Entry, Items, Node, Scalar, Source, quote, short
from search.space.report import Report
from search.space.settings import Value

MAX_CHARACTERS = 100_000
MAX_NODES = 10_000
"""With aliases followed."""
MAX_DEPTH = 24
MAX_ALIASES = 100
_LARGEST = 2**63

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_COLON_MISSING = (
    "could not find expected ':'",
    "mapping values are not",
    "expected ',' or '}'",
    "expected <block end>",
)
"""Complaints that a missing colon leads to."""
_HINTS = {
    "cannot start any token": "indent with spaces; put text that starts with @, ` or % in quotes",
    "mapping values are not allowed": "put the value on its own line, or in quotes",
    "expected ',' or ']'": "close the list with ]",
    "expected ',' or '}'": "close the mapping with }",
    "could not find expected ':'": "write key: value, with a space after the colon",
    "expected <block end>": "line this key up with the others of its block",
    "undefined alias": "define it first with &name",
    "while scanning a quoted scalar": "close the quotes",
}


def decode(data: bytes, *, file: str) -> str:
    """The text of a file's bytes.

    Raises:
        SearchError: If it is not UTF-8 (a byte order mark is passed over).
    """
    head = data[: 4 * (MAX_CHARACTERS + 2)]
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= 4 * (MAX_CHARACTERS + 1):  # too long whatever follows
            return head[: error.start].decode("utf-8-sig")
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        raise SearchError(
            [
                Problem(
                    fact=f"byte {data[error.start]:#04x} is not UTF-8",
                    fix="save the file as UTF-8",
                    place=Place(file=file, line=line, column=column),
                )
            ]
        ) from None


def read(source: Source, report: Report) -> Node | None:
    """The one document of ``source``; None when it holds nothing.

    Problems that leave a usable tree (a key given twice, a tag) go to
    ``report``.

    Raises:
        SearchError: If there is no tree to go on with, with ``report``'s
            problems so far.
    """
    text = source.text
    if len(text) > MAX_CHARACTERS:
        report.error(
            source.place(0, 1),
            f"the text has more than {MAX_CHARACTERS:,} characters",
            "keep data out of a space file",
        )
        report.stop()
    strange = _UNPRINTABLE.search(text)
    if strange:
        report.error(
            source.place(strange.start(), strange.end()),
            f"character U+{ord(strange[0]):04X} is not allowed in YAML",
            "remove it",
        )
        report.stop()
    return _Reader(source, report).document()


class _Reader:
    """One pass over the events of one text."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._report = report
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._nodes = 0
        self._aliases = 0
        self._event: Any = None

    def document(self) -> Node | None:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        events = YAML(typ="safe", pure=True).parse(self._source.text)
        try:
            return self._document(events)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            start = mark.index if mark else 0
            begun = error.context_mark.index if error.context_mark else None
            if any(part in (error.problem or "") for part in _COLON_MISSING):
                simple = "simple key" in (error.context or "")
                slip = slip_before(self._source, start, begun if simple else None)
                if slip is not None:
                    self._report.error(slip.place, slip.fact, slip.fix)
                    raise SearchError(self._report.errors) from None
            what = " ".join(str(part) for part in (error.problem, error.context) if part)
            raise self._refuse(start, start + 1, error.problem or "not YAML", _hint(what)) from None
        except (YAMLError, ValueError, OverflowError) as error:
            # ruamel raises plain ValueErrors for escapes such as "\UFFFFFFFF".
            at = self._event.end_mark.index if self._event is not None else 0
            first = str(error).splitlines()[0] if str(error) else "no detail"
            raise self._refuse(at, at + 1, f"not YAML after this: {short(first)}") from None
        finally:
            events.close()

    def _document(self, events: Iterator[Any]) -> Node | None:
        root: Node | None = None
        documents = 0
        for self._event in events:
            match type(self._event).__name__:
                case "DocumentStartEvent":
                    documents += 1
                    if documents > 1:
                        raise self._refuse_event("a second document starts here", "remove it")
                case "StreamStartEvent" | "DocumentEndEvent" | "StreamEndEvent":
                    pass
                case _:
                    root, _ = self._compose(events, 0)
        if isinstance(root, Scalar) and root.value is None:
            return None
        return root

    def _compose(self, events: Iterator[Any], depth: int) -> tuple[Node, int]:
        """The node that starts at the current event, and how many it holds."""
        event = self._event
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refuse_event(f"the text holds more than {MAX_NODES:,} values")
        if depth > MAX_DEPTH:
            raise self._refuse_event(f"nested more than {MAX_DEPTH} deep")
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event.anchor)
        if event.anchor is not None:
            self._anchors[str(event.anchor)] = None
        if _tagged(event):
            self._report.error(self._here(), "a tag (!) is not read", "remove it")
        before = self._nodes
        node: Node
        if kind == "ScalarEvent":
            node = self._scalar(event)
        elif kind == "SequenceStartEvent":
            node = self._items(events, event, depth)
        else:
            node = self._entries(events, event, depth)
        size = self._nodes - before + 1
        if event.anchor is not None:
            self._anchors[str(event.anchor)] = (node, size)
        return node, size

    def _alias(self, anchor: Any) -> tuple[Node, int]:
        self._aliases += 1
        name = str(anchor)
        if self._aliases > MAX_ALIASES:
            raise self._refuse_event(f"more than {MAX_ALIASES} aliases")
        if name not in self._anchors:
            raise self._refuse_event(f"alias *{short(name)} is not defined before this")
        known = self._anchors[name]
        if known is None:
            raise self._refuse_event(f"alias *{short(name)} refers to what it is part of")
        self._nodes += known[1]
        return known

    def _items(self, events: Iterator[Any], start: Any, depth: int) -> Items:
        items: list[Node] = []
        for self._event in events:
            if type(self._event).__name__ == "SequenceEndEvent":
                break
            items.append(self._compose(events, depth + 1)[0])
        return Items(items=tuple(items), place=self._span(start))

    def _entries(self, events: Iterator[Any], start: Any, depth: int) -> Entries:
        entries: dict[str, Entry] = {}
        for self._event in events:
            if type(self._event).__name__ == "MappingEndEvent":
                break
            key, _ = self._compose(events, depth + 1)
            self._event = next(events)
            value, _ = self._compose(events, depth + 1)
            if isinstance(value, Scalar) and not value.raw and value.value is None:
                value = replace(value, place=key.place)  # nothing to underline
            if not isinstance(key, Scalar):
                self._report.error(key.place, "a key must be a word", "write name: value")
            elif key.raw in entries:
                first = entries[key.raw].key.place.line
                self._report.error(
                    key.place,
                    f"key {quote(key.raw)} is given twice; the first is on line {first}",
                    "remove one of them",
                )
            else:
                entries[key.raw] = Entry(key=key, value=value)
        return Entries(entries=tuple(entries.values()), place=self._span(start))

    def _scalar(self, event: Any) -> Scalar:
        place = self._here()
        raw: str = event.value
        if _SURROGATE.search(raw):
            self._report.error(place, "half of a surrogate pair is not a character", "remove it")
            raw = _SURROGATE.sub("?", raw)
        value: Value | None = raw
        if event.style in (None, ""):
            value = self._plain(raw, place)
        return Scalar(value=value, raw=raw, place=place)

    def _plain(self, raw: str, place: Place) -> Value | None:
        if _NULL.fullmatch(raw):
            return None
        if raw in _BOOL:
            return _BOOL[raw]
        if _INT.fullmatch(raw):
            # int() takes quadratic time and refuses 4,300 digits and more.
            whole = int(raw, 0 if raw[:2] in ("0o", "0x") else 10) if len(raw) < 40 else _LARGEST
            if -_LARGEST <= whole < _LARGEST:
                return whole
            self._report.error(place, f"{short(raw)} does not fit 64 bits", "a smaller number")
            self._report.unreadable(place)
            return 0
        if _NOT_FINITE.fullmatch(raw):
            self._report.error(place, f"{raw} is not a finite number", "write a finite number")
            self._report.unreadable(place)
            return 0.0
        if _FLOAT.fullmatch(raw):
            number = float(raw)
            if math.isfinite(number):
                return number
            self._report.error(
                place, f"{short(raw)} is too large for a number", "write a smaller number"
            )
            self._report.unreadable(place)
            return 0.0
        return raw

    def _here(self) -> Place:
        return self._source.place(self._event.start_mark.index, self._event.end_mark.index)

    def _span(self, start: Any) -> Place:
        return self._source.place(start.start_mark.index, self._event.end_mark.index)

    def _refuse_event(self, fact: str, fix: str = "") -> SearchError:
        marks = self._event.start_mark.index, self._event.end_mark.index
        return self._refuse(*marks, fact, fix)

    def _refuse(self, start: int, end: int, fact: str, fix: str = "") -> SearchError:
        self._report.error(self._source.place(start, end), fact, fix)
        return SearchError(self._report.errors)


def _tagged(event: Any) -> bool:
    tag = getattr(event, "ctag", None)
    return tag is not None and str(tag) not in ("", "None")


def _hint(what: str) -> str:
    return next((fix for part, fix in _HINTS.items() if part in what), "")
