"""The table of a study, saved with it: what every later run and tool reads.

JSON lines in ASCII: a heading, then a row per image. Every text comes back
exactly, and none is ever a formula, a tag or an escape code to a reader.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from search.data.files import write_whole
from search.data.images import PARTS, ImageRow, ImageTable
from search.problems import Exit, fail

_FORMAT = 1


def fingerprint(rows: Iterable[ImageRow], classes: Sequence[str]) -> str:
    """sha256 over sorted (relative path, content hash, label name, part), 64 hex digits."""
    lines = sorted(json.dumps([row.path, row.sha256, classes[row.label], row.part]) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save_table(table: ImageTable, path: Path) -> None:
    """Write the table; the file appears whole or not at all."""
    heading = {
        "format": _FORMAT,
        "root": str(table.root),
        "classes": table.classes,
        "images": len(table.rows),
        "fingerprint": table.fingerprint,
        "licence": table.licence,
    }
    lines = [json.dumps(heading)]
    lines += [
        json.dumps([row.path, row.label, row.part, row.sha256, row.group]) for row in table.rows
    ]
    write_whole(path, ("\n".join(lines) + "\n").encode("ascii"))


def load_table(path: Path) -> ImageTable:
    """Read what :func:`save_table` wrote, exactly.

    Raises:
        SearchError: Exit.DATA, if the file is missing, damaged or of another format.
    """
    try:
        table = _parsed(path.read_text(encoding="ascii"))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise fail(
            f"the study's list of images {path} cannot be read: {error}",
            fix="restore it, or start again under another name (--name)",
            status=Exit.DATA,
        ) from error
    return table


def _parsed(text: str) -> ImageTable:
    first, *lines = text.split("\n")[:-1]
    heading = json.loads(first)
    if heading["format"] != _FORMAT:
        raise ValueError(f"format {heading['format']}, not {_FORMAT}")
    classes = tuple(str(name) for name in heading["classes"])
    rows = tuple(_row(json.loads(line), len(classes)) for line in lines)
    if len(rows) != heading["images"] or fingerprint(rows, classes) != heading["fingerprint"]:
        raise ValueError("its fingerprint does not match its rows")
    return ImageTable(
        root=Path(heading["root"]),
        classes=classes,
        rows=rows,
        fingerprint=str(heading["fingerprint"]),
        licence=str(heading["licence"]),
    )


def _row(values: list[str | int], classes: int) -> ImageRow:
    path, label, part, sha256, group = values
    if not isinstance(label, int) or not 0 <= label < classes:
        raise ValueError(f"label {label!r} is no index of a class")
    return ImageRow(
        path=str(path),
        label=label,
        part=PARTS[PARTS.index(part)],
        sha256=str(sha256),
        group=str(group),
    )
