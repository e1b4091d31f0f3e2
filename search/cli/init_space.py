"""From what was found of the images to a space file, every line explained. Pure."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from search.cli.machine import Machine
from search.data.listing import Found, quantity
from search.data.survey import Survey, class_counts, short_sides
from search.problems import printable
from search.space.spec import DataSpec
from search.space.study_section import name_of

FEW = 2_000
"""Fewer images to learn from are few: preset/small-data."""
MANY = 20_000
"""From so many on, an epoch is long, and fewer of them are needed."""
UNEVEN = 3.0
"""Times as many images as the smallest class has: from here on, imbalance is told."""
_CUT = {"val": 0.2, "test": 0.2}
_LARGE, _SMALL = 224, 128
"""Pixels: what most backbones were trained at, and what a CPU gets through."""
_FOR_CPUS = ("efficientnet_lite0", "mobilenet_v3_large", "resnet18")
_WHERE = 34
"""Column of the comments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the images led to, each choice with its reason."""

    data: DataSpec
    name: str
    """Of the study."""
    learnt: int
    """Images to learn from: the train part, or what a cut leaves of it."""
    preset: str
    preset_why: str
    image_size: int | None
    """Pixels; None leaves it to the preset."""
    size_why: str
    imbalance: float
    """Images of the largest class over those of the smallest; 1 without classes."""
    machine: Machine
    task_asked: bool = False
    """Whether the task was named, not guessed from the labels."""

    def next_command(self, file: Path) -> str:
        """What to type then."""
        return f"search plan {shlex.quote(printable(str(file)))}"


def choose(
    found: Survey,
    data: DataSpec,
    *,
    machine: Machine,
    preset: str | None,
    task_asked: bool = False,
) -> Start:
    """The choices that the images and the machine suggest.

    Args:
        preset: Wished for by name; None chooses one.
        task_asked: Whether the task was named, not guessed.
    """
    learnt = _learnt(found.good)
    few = learnt < FEW
    why = (
        f"{quantity(learnt, 'image')} to learn from, {'fewer than' if few else 'at least'} {FEW:,}"
    )
    size, size_why = _size(found, machine)
    counts = class_counts(found.good) if data.task != "regression" else Counter[str]()
    del counts[""]  # images in no class, of several: none that could be rare
    source = data.manifest or data.path or data.sample or ""
    return Start(
        data=data,
        name=name_of(Path(source).stem if data.manifest else Path(source).name),
        learnt=learnt,
        preset=preset or ("preset/small-data" if few else "preset/balanced"),
        preset_why="as asked for" if preset else why,
        image_size=size,
        size_why=size_why,
        imbalance=max(counts.values()) / min(counts.values()) if counts else 1.0,
        machine=machine,
        task_asked=task_asked,
    )


def _learnt(images: tuple[Found, ...]) -> int:
    """Images in train, given or once the missing parts are cut."""
    given = {image.part for image in images} - {None}
    train = sum(image.part in (None, "train") for image in images)
    return round(train * (1 - sum(share for part, share in _CUT.items() if part not in given)))


def _size(found: Survey, machine: Machine) -> tuple[int | None, str]:
    median = short_sides(found.looks)[1]
    most = _LARGE if machine.gpus else _SMALL
    if median and median < 0.75 * most:
        step = max(32, -(-median // 32) * 32)
        more = "more would be invented" if step <= median else "the next multiple of 32"
        return step, f"pixels; the shorter sides are about {median}: {more}"
    if machine.gpus:
        return None, ""
    return _SMALL, "pixels; no GPU here. 0: each backbone's own, slower"


def space_text(start: Start, found: Survey, file: Path) -> str:
    """The content of the space file."""
    lines = [
        f"# {_said(found, start)}",
        "# Written by search init; every line can be changed, and `search plan` checks it.",
        "#",
        f"# Look   search plan {printable(str(file))}",
        f"# Run    search run {printable(str(file))}",
        "#",
        f"# What is not named here comes from {start.preset}; `search plan` prints all of it.",
        "# Under space:, a line here replaces that of the preset, and null removes it.",
        "",
        _line(f"extends: {start.preset}", start.preset_why),
        "",
        "study:",
        _line(f"  name: {_quoted(start.name)}", "a run under the same name goes on with it"),
        _line("  seed: 0", "of samplers, new heads, order and views"),
        "",
        *_data(start, found),
        "",
        "space:",
        *_space(start),
        "",
        *_budget(start),
    ]
    return "\n".join(lines) + "\n"


def _said(found: Survey, start: Start) -> str:
    images = quantity(len(found.good), "image")
    data = start.data
    place = printable(data.manifest or data.path or f"the sample {data.sample}")
    if data.task == "regression":
        return f"{images} with a number each, of {place}"
    return f"{images} in {len(class_counts(found.good))} classes, of {place}"


def _data(start: Start, found: Survey) -> list[str]:
    data = start.data
    lines = ["data:"]
    if data.sample is not None:
        why = "or path: FOLDER, or manifest: FILE.csv"
        lines.append(_line(f"  sample: {data.sample}", why))
    elif data.manifest is not None:
        why = "a CSV; its own paths start at its folder"
        lines.append(_line(f"  manifest: {_quoted(data.manifest)}", why))
    else:
        lines.append(_line(f"  path: {_quoted(data.path or '')}", "a folder for each class"))
    if data.task != "multiclass":
        why = "as asked for" if start.task_asked else _LOOKS[data.task]
        lines.append(_line(f"  task: {data.task}", why))
    if data.unit:
        lines.append(_line(f"  unit: {_quoted(data.unit)}", "of the numbers; shown with each"))
    given = sorted({image.part for image in found.good if image.part})
    if {"val", "test"} <= set(given):
        lines.append(f"  # no split: the data bring {', '.join(given)}")
    else:
        why = "shares, cut once where the data bring no such part"
        lines.append(_line("  split: {val: 0.2, test: 0.2, seed: 0}", why))
    if found.bad:
        why = "so many cannot be used: search init lists them"
        lines.append(_line(f"  max_bad: {len(found.bad)}", why))
    return lines


_LOOKS = {
    "multilabel": "labels have | in them: several classes an image",
    "regression": "labels are many different numbers",
}


def _space(start: Start) -> list[str]:
    lines = []
    if not start.machine.gpus:
        lines += [
            "  # small ones: no GPU here; `search backbones` lists others",
            f"  backbone: [{', '.join(_FOR_CPUS)}]",
        ]
    if start.data.task == "regression":
        lines.append(_line("  label_smoothing: null", "the preset's changes nothing for numbers"))
    if start.imbalance >= UNEVEN:
        why = f"the largest class has {start.imbalance:.1f} times the images of the smallest"
        lines.append(_line("  class_imbalance: [none, auto]", why))
    if start.image_size is not None:
        lines.append(_line(f"  image_size: {start.image_size}", start.size_why))
    return lines or [_line("  batch_size: 32", "images a step; less where memory is short")]


def _budget(start: Start) -> list[str]:
    trials, minutes = (40, 240) if start.machine.gpus else (20, 60)
    lines = []
    if start.learnt >= MANY:
        why = f"{start.learnt:,} images make an epoch long: compared at 2, 6 and 9"
        lines = [_line("epochs: {min: 2, max: 9}", why), ""]
    return [
        *lines,
        "budget:",
        _line(f"  trials: {trials}", "settled trials, over all runs of the study"),
        _line(f"  minutes: {minutes}", "the first limit that is reached ends it"),
    ]


def _quoted(text: str) -> str:
    """A text as YAML reads it back, whatever is in it; bare where that is plain."""
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return f"\\U{ord(char):08x}" if unicodedata.category(char)[0] in "CZ" and char != " " else char


_BARE = re.compile(r"(?=.*[A-Za-z])[A-Za-z/][A-Za-z0-9/._-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off"}


def _line(text: str, why: str) -> str:
    """The text with its comment at the usual column."""
    gap = "  " if len(text) >= _WHERE - 2 else " " * (_WHERE - len(text))
    return f"{text}{gap}# {why}"
