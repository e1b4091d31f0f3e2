"""What a manifest's column ``label`` says, read as the task wants it. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from search.space.spec import Task

BETWEEN = "|"
"""Stands between the classes of one image."""

LARGEST = 1e100
"""Of a number's amount: whatever a model puts out in float32 (up to 3e38 standard
deviations), the sum of its squared errors is a float64 then."""
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf(?:inity)?)", re.I
)
"""What is read: Python itself takes 1_000 and other scripts' digits, too."""
_MOSTLY = 0.9
"""Share of labels that are numbers, from which on numbers are meant."""


def task_line(task: Task) -> str:
    """What a fix tells to write in a space file, e.g. ``data: {task: multilabel}``."""
    return f"data: {{task: {task}}}"


_NO_CLASS = f"the image's class; images in no class are for {task_line('multilabel')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One image's label, or what is wrong with it."""

    text: str = ""
    """The class; of several, sorted and joined again; of a number, as it was written."""
    labels: tuple[str, ...] | None = None
    value: float | None = None
    fact: str = ""
    """What is wrong; empty where nothing is."""
    fix: str = ""


def one_spelling(text: str) -> str:
    """A name without blanks around it, in Unicode's composed form (NFC): what looks the
    same is the same class, or the same group."""
    return unicodedata.normalize("NFC", text.strip())


def read_label(text: str, task: Task) -> Label:
    """A label as the task wants it.

    Returns:
        E.g. ``read_label("dog|cat", "multilabel").labels == ("cat", "dog")``; an
        empty text is an image in no class there, and an error for every other task.
    """
    if task == "multiclass":
        name = one_spelling(text)
        return Label(text=name) if name else Label(fact="label is empty", fix=_NO_CLASS)
    if task == "regression":
        return _number(text)
    pieces = [one_spelling(piece) for piece in text.split(BETWEEN)]
    if not text.strip():
        return Label(labels=())
    if not all(pieces):
        return Label(
            fact=f"label {text!r} has nothing on one side of a {BETWEEN}",
            fix=BETWEEN.join(piece for piece in pieces if piece) or "an empty field: no class",
        )
    labels = tuple(sorted(set(pieces)))
    return Label(text=BETWEEN.join(labels), labels=labels)


def task_of(labels: Sequence[str]) -> Task:
    """What a manifest's labels, as written, look like: classes, several with | between,
    numbers. Of numbers a few may be wrong: they are told as such."""
    if any(BETWEEN in label for label in labels):
        return "multilabel"
    written = [label for label in labels if label.strip()]
    different = len(set(written))
    many = different > max(10, len(written) / 10) or too_many(different, len(written))
    return "regression" if many and mostly_numbers(written) else "multiclass"


def mostly_numbers(labels: Sequence[str]) -> bool:
    """Whether numbers are meant, but for a few mistakes."""
    return bool(labels) and sum(map(is_number, labels)) >= _MOSTLY * len(labels)


def too_many(different: int, images: int) -> bool:
    """Whether so many different numbers on so many images can be no classes: one of them
    would have fewer than the 3 images that a class needs."""
    return different > 3 and different > images / 3


def is_number(label: str) -> bool:
    """Whether a label can be meant as a number, e.g. ``1e3``, also ``1_000``."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _number(text: str) -> Label:
    if not text.strip():
        return Label(fact="label is empty", fix="the image's value, or remove the line")
    try:
        value = float(text)
    except ValueError:
        comma = text.strip().replace(",", ".", 1)
        return Label(
            fact=f"label {text!r} is no number, data.task is regression",
            fix=comma if "," in text and _finite(comma) else "a number, e.g. 12.5",
        )
    if not _NUMBER.fullmatch(text.strip()):
        return Label(
            fact=f"label {text!r} is no plain number: digits 0 to 9, a point, an exponent",
            fix=repr(value).removesuffix(".0") if math.isfinite(value) else "a number, e.g. 12.5",
        )
    if not math.isfinite(value):
        return Label(
            fact=f"label {text!r} is not finite, so nothing can be learnt from it",
            fix="a number, or remove the line",
        )
    if abs(value) > LARGEST:
        return Label(
            fact=f"label {text!r} is too large: squared errors of such values cannot be added up",
            fix=f"another unit: -{LARGEST:g} to {LARGEST:g}",
        )
    return Label(text=text.strip(), value=value)


def _finite(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
