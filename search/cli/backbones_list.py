"""What ``search backbones`` knows and prints: rows, lines, a document.

Looks at file names, never into a file; imports neither torch nor ray. Keys of
the document are added, never renamed.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeAlias

from search.backbones.availability import Located, locate
from search.backbones.catalogue import CATALOGUE
from search.backbones.info import BackboneInfo
from search.backbones.timm_names import PREFIX, is_timm, timm_names
from search.cli.columns import align, bold, dim, indent
from search.cli.figures import millions
from search.problems import did_you_mean, fail, printable
from search.space.settings import SizeRule
from search.space.spec import WeightsSpec

Where: TypeAlias = Literal["packaged", "cached", "download", "missing"]
"""In an installed package, on this disk, to be fetched, or a package is not there."""

WIDTH = 80
"""Cells of a line of running text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One of a backbone's pretrained weights, and where it is."""

    info: BackboneInfo
    """The row with these weights."""
    usual: bool
    """Taken where ``weights.tags`` names none."""
    where: Where
    path: Path | None
    why: str
    """Why they are not here; empty where they are."""


def pick(patterns: Sequence[str]) -> list[str]:
    """The names that begin as one of ``patterns``, or match it; all of ours without any,
    and timm's where a pattern begins as theirs.

    Raises:
        SearchError: If a pattern fits none.
    """
    found: set[str] = set()
    for pattern in patterns:
        known = list(timm_names() if is_timm(pattern) else CATALOGUE)
        fits = [name for name in known if name.startswith(pattern) or fnmatchcase(name, pattern)]
        if not fits:
            near = did_you_mean(pattern, known)
            every = f"search backbones '{PREFIX}*'" if is_timm(pattern) else "search backbones"
            raise fail(
                f"no backbone is called {pattern!r}, or begins so",
                fix=f"search backbones {near}" if near else f"{every} lists all",
            )
        found.update(fits)
    ours = [name for name in CATALOGUE if name in found or not patterns]
    return [*ours, *(sorted(name for name in found if is_timm(name)))]


def look(names: Sequence[str], cache: Path) -> list[Weights]:
    """All weights of these backbones, the usual ones of each first."""
    rows = []
    for name in names:
        info = CATALOGUE[name]
        for tag in info.tags:
            found = locate(name, WeightsSpec(tags=((name, tag),)), cache)
            where: Where = "cached" if info.packaged is None else "packaged"
            if not isinstance(found, Located):
                where = "download" if found.fetchable else "missing"
            rows.append(
                Weights(
                    info=info.with_weights(tag),
                    usual=tag == info.weights,
                    where=where,
                    path=found.path if isinstance(found, Located) else None,
                    why="" if isinstance(found, Located) else found.reason,
                )
            )
    return rows


def lines(rows: Sequence[Weights], *, whole: bool) -> list[str]:
    """A line for each backbone; where they were chosen, their other weights too.

    Args:
        rows: From :func:`look`.
        whole: All backbones were asked for.
    """
    usual = [row for row in rows if row.usual]
    others = [row for row in rows if not row.usual]
    shown = usual if whole else rows
    common, *rest = [text for text, _ in Counter(row.info.licence for row in shown).most_common()]
    marks = {text: f" [{number}]" for number, text in enumerate(rest, start=1)}
    heads = ["backbone", "params", "px", "from", "weights", "where"]
    table = align([heads, *(_cells(row, marks) for row in usual)], right=(1, 2))
    said = [bold(table[0]), *table[1:]]
    if others and not whole:
        cells = [
            [row.info.name, _weights(row, marks), f"{row.info.size.default} px", row.where]
            for row in others
        ]
        said += ["", "other weights", *indent(align(cells, right=(2,)))]
    notes = [
        "px: what the weights were trained at; from: the smallest, 32/16 in steps of 16"
        + (", only: no other" if any(row.info.size.maximum for row in shown) else ""),
        f"licence: {common}",
        *(f"{mark.strip()} {text}" for text, mark in marks.items()),
    ]
    if others and whole:
        count = len({row.info.name for row in others})
        notes.append(f"{count} have other weights, too: search backbones NAME shows them")
    if whole:
        notes.append("timm's as timm:NAME, if timm is installed: search backbones timm:resnet")
    missing = dict.fromkeys(row.why for row in shown if row.where == "missing")
    said += ["", *(dim(line) for note in [*notes, *missing] for line in _wrapped(note))]
    names = ["resnet50", "convnext_tiny"] if whole else [row.info.name for row in usual[:2]]
    if others and not whole:
        named = f"{{tags: {{{others[0].info.name}: {others[0].info.weights}}}}}"
        return [*said, "", "next", f"  weights: {named}  in the space file"]
    return [*said, "", "next", f"  backbone: [{', '.join(names)}]  in the space file"]


def document(rows: Sequence[Weights], *, cache: Path) -> dict[str, Any]:
    """The same for ``--json``, always with all weights."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        info = row.info
        entry = found.setdefault(
            info.name,
            {
                "name": info.name,
                "library": info.library,
                "parameters": info.parameters,
                "image_size": {
                    "default": info.size.default,
                    "minimum": info.size.nearest(info.size.minimum),
                    "multiple": info.size.multiple,
                    "maximum": info.size.maximum,
                },
                "weights": [],
            },
        )
        entry["weights"].append(
            {
                "tag": info.weights,
                "usual": row.usual,
                "image_size": info.size.default,
                "preprocessing": asdict(info.preprocessing),
                "licence": info.licence,
                "where": row.where,
                "path": None if row.path is None else str(row.path),
                "why": row.why,
                "url": info.url or None,
            }
        )
    return {"cache": str(cache), "backbones": list(found.values())}


def _cells(row: Weights, marks: dict[str, str]) -> list[str]:
    info = row.info
    return [
        info.name,
        f"{millions(info.parameters)} M",
        str(info.size.default),
        _least(info.size),
        _weights(row, marks),
        row.where,
    ]


def _least(rule: SizeRule) -> str:
    if rule.maximum is not None:
        return "only"
    least = rule.nearest(rule.minimum)
    return str(least) if rule.multiple == 1 else f"{least}/{rule.multiple}"


def _weights(row: Weights, marks: dict[str, str]) -> str:
    return row.info.weights + marks.get(row.info.licence, "")


def _wrapped(note: str) -> list[str]:
    return textwrap.wrap(printable(note), WIDTH, subsequent_indent="  ", break_on_hyphens=False)
