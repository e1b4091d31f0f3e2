"""The table of a study, saved with it: what every later run and tool reads.

JSON lines in ASCII: a heading, then a row per image. Every text comes back
exactly, and none is ever a formula, a tag or an escape code to a reader.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from search.data.files import write_whole
from search.data.images import PARTS, ImageRow, ImageTable, Target
from search.problems import Exit, fail
from search.space.spec import TASKS, Task

_FORMAT = 2
_FIRST = 1
"""Of a table of one class an image: as it was when there were no other tasks."""


def fingerprint(rows: Iterable[ImageRow], classes: Sequence[str]) -> str:
    """sha256 over sorted (relative path, content hash, label, part), 64 hex digits.

    The label is a class's name, a list of names, or a number.
    """
    lines = sorted(
        json.dumps([row.path, row.sha256, _named(row.label, classes), row.part]) for row in rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _named(label: Target, classes: Sequence[str]) -> str | list[str] | float:
    if isinstance(label, tuple):
        return [classes[each] for each in label]
    return classes[label] if isinstance(label, int) else label


def save_table(table: ImageTable, path: Path) -> None:
    """Write the table; the file appears whole or not at all."""
    heading = {
        "format": _FIRST if table.task == "multiclass" else _FORMAT,
        "root": str(table.root),
        "classes": table.classes,
        "images": len(table.rows),
        "fingerprint": table.fingerprint,
        "licence": table.licence,
    }
    if table.task != "multiclass":
        heading |= {"task": table.task, "unit": table.unit}
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
    if heading["format"] not in (_FIRST, _FORMAT):
        raise ValueError(f"format {heading['format']}, not {_FIRST} or {_FORMAT}")
    first = heading["format"] == _FIRST
    task = "multiclass" if first else TASKS[TASKS.index(heading["task"])]
    classes = tuple(str(name) for name in heading["classes"])
    rows = tuple(_row(json.loads(line), task, len(classes)) for line in lines)
    if len(rows) != heading["images"] or fingerprint(rows, classes) != heading["fingerprint"]:
        raise ValueError("its fingerprint does not match its rows")
    return ImageTable(
        root=Path(heading["root"]),
        classes=classes,
        rows=rows,
        fingerprint=str(heading["fingerprint"]),
        licence=str(heading["licence"]),
        task=task,
        unit="" if first else str(heading["unit"]),
    )


def _row(values: list[Any], task: Task, classes: int) -> ImageRow:
    path, label, part, sha256, group = values
    return ImageRow(
        path=str(path),
        label=_target(label, task, classes),
        part=PARTS[PARTS.index(part)],
        sha256=str(sha256),
        group=str(group),
    )


def _target(label: object, task: Task, classes: int) -> Target:
    if task == "regression":
        if not isinstance(label, float) or not math.isfinite(label):
            raise ValueError(f"label {label!r} is no finite number")
        return label
    if task == "multiclass":
        return _index(label, classes)
    if not isinstance(label, list):
        raise ValueError(f"label {label!r} is no list")
    return tuple(_index(each, classes) for each in label)


def _index(label: object, classes: int) -> int:
    if not isinstance(label, int) or not 0 <= label < classes:
        raise ValueError(f"label {label!r} is no index of a class")
    return label
