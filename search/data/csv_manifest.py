"""A manifest that the user wrote: CSV with ``path,label[,split][,group]``.

``label`` holds what the task wants: a class; classes with ``|`` between them, or
nothing for an image in no class; a number. Its own entries start at the manifest's
folder and never leave it. All problems of the file in one go, each with its line.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.data.csv_text import read_text
from search.data.folder import leads_out
from search.data.labels import one_spelling, read_label
from search.data.listing import PART_NAMES, Found, Listing, capped
from search.problems import Exit, Place, Problem, SearchError, did_you_mean, fail
from search.space.spec import Task

_REQUIRED = ("path", "label")
_COLUMNS = (*_REQUIRED, "split", "group")


def list_manifest(manifest: Path, *, name: str, task: Task = "multiclass") -> Listing:
    """The images that a manifest names.

    Args:
        manifest: Absolute.
        name: The file as the user named it, for messages.
        task: How labels are read.

    Raises:
        SearchError: Exit.DATA, with every problem found.
    """
    text = read_text(manifest)
    root = manifest.parent.resolve()
    lines = re.split("\r\n|\r|\n", text)
    problems: list[Problem] = []
    rows = _rows(text, name, lines, problems)
    header = next(rows, None)
    columns, notes = _columns(header, name, problems)
    if problems:
        raise SearchError(capped(problems), Exit.DATA)
    entries = [_Entry.of(row, columns) for row in rows]
    seen: dict[str, int] = {}
    groups: dict[str, tuple[str, int]] = {}
    some_split = any(entry.split for entry in entries)
    images: list[Found] = []
    refused: list[tuple[str, str]] = []
    for entry in entries:

        def problem(fact: str, fix: str, field: str, entry: _Entry = entry) -> None:
            problems.append(
                Problem(fact=fact, fix=fix, place=_place(name, lines, entry.line, field))
            )

        path = _inside(entry.path, root)
        part = PART_NAMES.get(entry.split.lower())
        if entry.fields > (width := len(header[1]) if header else 0):
            problem(
                f"{entry.fields} fields, the first line names {width} columns",
                'a value that holds a comma goes into quotes: "a,b"',
                "",
            )
        elif not entry.path or "\0" in entry.path:
            problem("path is empty or holds a NUL character", "the image's path", entry.path)
        elif path is None:
            problem(
                f"path {entry.path!r} leads out of the manifest's folder {root}",
                "move the manifest above its images, or the images below it",
                entry.path,
            )
        elif path in seen:
            problem(
                f"path {entry.path!r} is also in line {seen[path]}", "remove one line", entry.path
            )
        elif (label := read_label(entry.label, task)).fact:
            problem(label.fact, label.fix, entry.label)
        elif some_split and part is None:
            problem(
                f"split is {entry.split!r}" if entry.split else "split is empty",
                "train, val or test, in every line or in none",
                entry.split,
            )
        elif entry.group and groups.setdefault(entry.group, (part or "", entry.line))[0] != (
            part or ""
        ):
            other, line = groups[entry.group]
            problem(
                f"group {entry.group!r} is in {part} here and in {other} in line {line}",
                "one part for a group",
                entry.split,
            )
        else:
            seen[path] = entry.line
            if leads_out(root / path, root):
                refused.append((path, "is a link that leads out of the data folder"))
            else:
                images.append(
                    Found(
                        path=path,
                        label=label.text,
                        labels=label.labels,
                        value=label.value,
                        part=part,
                        group=entry.group,
                        line=entry.line,
                    )
                )
    if problems:
        raise SearchError(capped(problems), Exit.DATA)
    if not entries:
        raise fail(f"{name} names no images", fix="a line for each image", status=Exit.DATA)
    if some_split and not any(image.part == "train" for image in images):
        raise fail(f"{name} puts no image in train", fix="split: train", status=Exit.DATA)
    if task == "multilabel" and not any(len(image.labels or ()) > 1 for image in images):
        notes.append(
            f"{name}: no image is in more than one class; where each is in one, "
            "task multiclass is meant"
        )
    return Listing(
        root=root,
        images=tuple(sorted(images, key=lambda image: image.path)),
        classes=_classes(entries, task),
        refused=tuple(sorted(refused)),
        notes=tuple(notes),
    )


def written_labels(manifest: Path, *, name: str) -> tuple[str, ...]:
    """The column ``label`` of every line, as written, whatever the task makes of it.

    Args:
        manifest: Absolute.
        name: The file as the user named it, for messages.

    Returns:
        Of a file that is no such CSV as much as can be read; :func:`list_manifest`
        says what is wrong with it.

    Raises:
        SearchError: Exit.DATA, if the file cannot be read.
    """
    rows = _rows(read_text(manifest), name, [], [])
    columns, _ = _columns(next(rows, None), name, [])
    return tuple(_Entry.of(row, columns).label for row in rows) if "label" in columns else ()


def _classes(entries: list[_Entry], task: Task) -> tuple[str, ...]:
    """The classes that the lines name, of images that are not opened, too."""
    if task == "regression":
        return ()
    read = (read_label(entry.label, task) for entry in entries)
    names = (label.labels if task == "multilabel" else (label.text,) for label in read)
    return tuple(sorted({name for own in names for name in own or ()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One line of the manifest, as written."""

    line: int
    path: str
    label: str
    split: str
    group: str
    fields: int
    """How many the line has."""

    @staticmethod
    def of(row: tuple[int, list[str]], columns: dict[str, int]) -> _Entry:
        line, fields = row

        def field(name: str) -> str:
            at = columns.get(name, len(fields))
            return fields[at] if at < len(fields) else ""

        return _Entry(
            line=line,
            path=field("path"),
            label=field("label"),
            split=field("split").strip(),
            group=one_spelling(field("group")),
            fields=len(fields),
        )


def _rows(
    text: str, name: str, lines: list[str], problems: list[Problem]
) -> Iterator[tuple[int, list[str]]]:
    """(first line, fields) of every row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(
            Problem(
                fact=f"not CSV from here on: {error}",
                fix='quotes come in pairs; a quote inside quotes is written ""',
                place=_place(name, lines, line, ""),
            )
        )


def _columns(
    header: tuple[int, list[str]] | None, name: str, problems: list[Problem]
) -> tuple[dict[str, int], list[str]]:
    """Where each known column is, and notes on the others."""
    if header is None:
        if not problems:
            problems.append(Problem(fact=f"{name} is empty", fix="a first line path,label"))
        return {}, []
    line, fields = header
    text = ",".join(fields)
    names = [field.strip().lower() for field in fields]

    def problem(fact: str, fix: str) -> None:
        place = Place(file=name, line=line, column=1, length=len(text), text=text)
        problems.append(Problem(fact=fact, fix=fix, place=place))

    columns: dict[str, int] = {}
    notes: list[str] = []
    if len(fields) == 1 and any(mark in text for mark in ";\t|"):
        problem("the columns are not separated by commas", "path,label")
        return columns, notes
    for at, column in enumerate(names):
        absent = [known for known in _COLUMNS if known not in names]
        near = did_you_mean(column, absent)
        if column in columns:
            problem(f"column {column!r} is there twice", "name each column once")
        elif column in _COLUMNS:
            columns[column] = at
        elif near:
            problem(f"no such column: {column!r}", near)
        else:
            notes.append(f"{name}: column {column!r} is not used")
    lacking = [column for column in _REQUIRED if column not in names]
    if lacking and not problems:
        problem(
            f"the first line names no column {' and no column '.join(lacking)}",
            "path,label, and where wanted split and group, separated by commas",
        )
    return columns, notes


def _inside(text: str, root: Path) -> str | None:
    """The path relative to ``root`` without ``..``, or None when it leads out."""
    path = os.path.normpath(os.path.join(root, text))
    relative = os.path.relpath(path, root)
    if relative == "." or relative == ".." or relative.startswith("../"):
        return None
    return Path(relative).as_posix()


def _place(name: str, lines: list[str], line: int, field: str) -> Place:
    text = lines[line - 1] if line <= len(lines) else ""
    at = text.find(field) if field else -1
    return Place(
        file=name,
        line=line,
        column=at + 1 if at >= 0 else 1,
        length=max(1, len(field) if at >= 0 else len(text)),
        text=text,
    )
