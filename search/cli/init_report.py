"""What ``search init`` says of images, as text and as a document. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.cli.columns import align, bold, indent
from search.cli.init_space import UNEVEN, Start
from search.data.images import PARTS
from search.data.likeness import LIMIT
from search.data.listing import quantity
from search.data.survey import Survey, Together, class_counts, short_sides
from search.problems import printable

SHOWN = 10
"""Lines of one kind; the others are counted. ``--json`` has them all."""


def report_lines(found: Survey, start: Start) -> list[str]:
    """All of it, a line each; nothing in it can move a terminal's cursor."""
    data = start.data
    place = data.manifest or data.path or f"the sample {data.sample}; your own: --data PATH"
    what = "" if data.task == "multiclass" else f", {data.task}"
    what += f", in {printable(data.unit)}" if data.unit else ""
    lines = [
        bold(f"{printable(start.name)}: {quantity(len(found.good), 'image')}{what}"),
        f"  {printable(place)}",
    ]
    sections = [
        _classes(found, start),
        _sizes(found),
        _bad(found),
        _copies(found),
        _near(found),
        [printable(note) for note in found.listing.notes],
        _chosen(start),
    ]
    for section in sections:
        if section:
            lines += ["", *section]
    return lines


def _classes(found: Survey, start: Start) -> list[str]:
    if start.data.task == "regression":
        values = sorted(image.value for image in found.good if image.value is not None)
        if not values:
            return []
        middle = values[len(values) // 2]
        return [f"values from {values[0]:g} to {values[-1]:g}, median {middle:g}"]
    counts = class_counts(found.good)
    parts = [part for part in PARTS if any(image.part == part for image in found.good)]
    by_part = Counter((image.part, name) for image in found.good for name in image.strata)
    rows = [["class", "images", "share", *parts]]
    for name, count in counts.most_common(SHOWN):
        share = f"{100 * count / len(found.good):.1f} %"
        own = [f"{by_part[part, name]:,}" for part in parts]
        rows.append([printable(name) or "(none)", f"{count:,}", share, *own])
    lines = align(rows, right=range(1, len(rows[0])))
    if len(counts) > SHOWN:
        few = counts.most_common()[-1]
        lines.append(
            f"and {len(counts) - SHOWN:,} more; the smallest is {printable(few[0])}, {few[1]:,}"
        )
    if start.imbalance >= UNEVEN:
        why = "accuracy would flatter, balanced_accuracy does not"
        if start.data.task == "multilabel":
            why = "micro_f1 would go by the large ones, mAP counts all alike"
        lines.append(
            f"the largest class has {start.imbalance:.1f} times as many images as the smallest: "
            f"{why}"
        )
    return lines


def _sizes(found: Survey) -> list[str]:
    if not found.looks:
        return []
    low, median, high = short_sides(found.looks)
    grey = sum(look.grey for look in found.looks.values())
    wide = sum(
        max(look.width, look.height) > 2 * min(look.width, look.height)
        for look in found.looks.values()
    )
    lines = [f"shorter side {low} to {high} px, median {median}"]
    if wide:
        lines.append(
            f"{quantity(wide, 'image')} more than twice as long as wide: only the middle is seen"
        )
    if grey:
        count = "all" if grey == len(found.looks) else f"{grey:,}"
        lines.append(f"{count} without colour")
    return lines


def _bad(found: Survey) -> list[str]:
    if not found.bad:
        return ["all can be read"]
    rows = [[printable(path), printable(reason)] for path, reason in found.bad[:SHOWN]]
    more = len(found.bad) - SHOWN
    return [
        f"{quantity(len(found.bad), 'image')} cannot be used",
        *indent(align(rows)),
        *([f"  and {more:,} more"] if more > 0 else []),
    ]


def _copies(found: Survey) -> list[str]:
    if not found.copies:
        return ["no file is there twice"]
    lines = [f"the same file several times: {_counted(found.copies)}", *_examples(found.copies)]
    return [*lines, *_warned(found.copies)]


def _near(found: Survey) -> list[str]:
    if not found.near:
        lines = ["no two images show nearly the same"]
    else:
        lines = [
            f"nearly the same picture: {_counted(found.near)} "
            f"(at most {LIMIT} of 64 bits of their hashes differ, and thumbnails agree)",
            *_examples(found.near),
            *_warned(found.near),
        ]
        if not any(group.parts for group in found.near):
            lines.append(
                "  a cut can put them on both sides, which flatters; the column group of a "
                "manifest keeps them together"
            )
    if not found.compared:
        lines.append("  so many look alike that not all could be compared")
    return lines


def _counted(groups: Sequence[Together]) -> str:
    images = sum(len(group.paths) for group in groups)
    return f"{quantity(images, 'image')} in {quantity(len(groups), 'group')}"


def _examples(groups: Sequence[Together]) -> list[str]:
    """The groups that mislead first: across parts, then across classes, then the largest."""
    order = sorted(groups, key=lambda g: (-len(g.parts), -len(g.labels), -len(g.paths)))
    lines = []
    for group in order[:3]:
        more = f" and {len(group.paths) - 3:,} more" if len(group.paths) > 3 else ""
        lines.append(f"  {printable(', '.join(group.paths[:3]))}{more}")
    return lines


def _warned(groups: Sequence[Together]) -> list[str]:
    across = sum(len(group.parts) > 1 for group in groups)
    torn = sum(len(group.labels) > 1 for group in groups)
    lines = []
    if across:
        lines.append(
            f"  {quantity(across, 'group')} in several of train, val and test: figures flatter"
        )
    if torn:
        lines.append(f"  {quantity(torn, 'group')} in several classes: look at their labels")
    return lines


def _chosen(start: Start) -> list[str]:
    rows = [["preset", start.preset, start.preset_why]]
    if start.image_size is not None:
        rows.append(["image_size", f"{start.image_size}", start.size_why])
    return ["chosen", *indent(align(rows))]


def document(found: Survey, start: Start, *, file: Path | None) -> dict[str, Any]:
    """The document of ``--json``."""
    low, median, high = short_sides(found.looks)
    counts = class_counts(found.good) if start.data.task != "regression" else {}
    by_part = Counter((image.part, name) for image in found.good for name in image.strata)
    return {
        "data": start.data.manifest or start.data.path,
        "sample": start.data.sample,
        "task": start.data.task,
        "unit": start.data.unit or None,
        "images": len(found.good),
        "learnt": start.learnt,
        "classes": [
            {
                "name": name,
                "images": count,
                "parts": {part: n for part in PARTS if (n := by_part[part, name])},
            }
            for name, count in sorted(counts.items())
        ],
        "imbalance": round(start.imbalance, 3),
        "short_side": {"min": low, "median": median, "max": high},
        "without_colour": sum(look.grey for look in found.looks.values()),
        "unreadable": [{"path": path, "reason": reason} for path, reason in found.bad],
        "copies": [_group(group) for group in found.copies],
        "near_copies": [_group(group) for group in found.near],
        "all_compared": found.compared,
        "notes": list(found.listing.notes),
        "preset": {"name": start.preset, "why": start.preset_why},
        "space": None if file is None else str(file),
        "next": None if file is None else start.next_command(file),
    }


def _group(group: Together) -> dict[str, list[str]]:
    return {
        "paths": list(group.paths),
        "classes": list(group.labels),
        "parts": list(group.parts),
    }
