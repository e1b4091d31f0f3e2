"""The text and the JSON documents of ``search cache``. Pure: facts in, lines out.

Documents are stable: keys are added, never renamed; times are ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.cli.cache_facts import Contents, FamilyName, Kept
from search.cli.columns import align, bold, indent
from search.cli.figures import ago, size
from search.data.cache import IN_USE, CacheEntry, Cleared, Kind
from search.problems import printable

_WORDS: dict[Kind, tuple[str, str]] = {
    "decoded": ("decoded image file", "decoded image files"),
    "activations": ("activation file", "activation files"),
    "weights": ("weight file", "weight files"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What ``search cache clear`` did, or would do."""

    folder: Path
    done: Cleared
    dry_run: bool
    free: int
    """Bytes on the disk afterwards."""


def contents_lines(contents: Contents, *, now: float, flag: str) -> list[str]:
    """A line for each kind, activations also by backbone, size and precision."""
    lines = [bold(f"cache  {printable(str(contents.folder))}")]
    if not contents.exists:
        return [*lines, "nothing there; the first search run makes it"]
    rows = [
        ["", "entries", "size", "last used"],
        _row("decoded images", contents.decoded, now),
        _row("activations", contents.activations, now),
        *(_row(f"  {_name(name)}", kept, now) for name, kept in contents.families),
        _row("fetched weights", contents.weights, now),
        *([_row("fetched images", contents.images, now)] if contents.images.entries else []),
        _row("image tables", contents.others, now),
        _row("total", contents.total, now),
        ["free on the disk", "", size(contents.free)],
    ]
    commands = [[f"search cache clear --dry-run{printable(flag)}", "what clearing would remove"]]
    return [*lines, *align(rows, right=(1, 2)), "", "next", *indent(align(commands))]


def contents_document(contents: Contents) -> dict[str, Any]:
    """The same for ``--json``; sizes in bytes."""
    families = [
        {
            "backbone": name.backbone or None,
            "image_size": name.image_size or None,
            "precision": name.precision or None,
            **_document(kept),
        }
        for name, kept in contents.families
    ]
    return {
        "cache": str(contents.folder),
        "exists": contents.exists,
        "decoded": _document(contents.decoded),
        "activations": {**_document(contents.activations), "families": families},
        "weights": _document(contents.weights),
        "images": _document(contents.images),
        "others": _document(contents.others),
        "total": _document(contents.total),
        "free": contents.free,
    }


def removal_lines(removal: Removal) -> list[str]:
    """What went by kind, each weight file by name, and what stayed with why."""
    done = removal.done
    lines = [bold(f"cache  {printable(str(removal.folder))}")]
    rows = []
    verb = "would remove" if removal.dry_run else "removed"
    for kind, entries in _by_kind(done.gone):
        rows.append([verb, _count(kind, len(entries)), _sum(entries)])
        if kind == "weights":
            rows += [["", f"  {printable(each.path.name)}", size(each.bytes)] for each in entries]
    for why in dict.fromkeys(why for _, why in done.stayed):
        held = [entry for entry, reason in done.stayed if reason == why]
        stays = "would stay" if removal.dry_run else "stayed"
        for kind, entries in _by_kind(held):
            rows.append([stays, _count(kind, len(entries)), _sum(entries), printable(why)])
    if not done.gone:
        lines.append("nothing to remove")
    lines += align(rows, right=(2,))
    lines.append(f"{size(removal.free)} free on the disk")
    fetch = any(entry.kind == "weights" for entry in done.gone) and not removal.dry_run
    if fetch:
        lines += ["", "next", "  search weights fetch SPACE   fetch a space's weights again"]
    return lines


def removal_document(removal: Removal) -> dict[str, Any]:
    """The same for ``--json``."""
    return {
        "cache": str(removal.folder),
        "dry_run": removal.dry_run,
        "removed": [
            {
                "kind": kind,
                "entries": len(entries),
                "bytes": sum(entry.bytes for entry in entries),
                "paths": [str(entry.path) for entry in entries],
            }
            for kind, entries in _by_kind(removal.done.gone)
        ],
        "stayed": [
            {
                "kind": entry.kind,
                "path": str(entry.path),
                "bytes": entry.bytes,
                "in_use": why == IN_USE,
                "why": why,
            }
            for entry, why in removal.done.stayed
        ],
        "free": removal.free,
    }


def _row(label: str, kept: Kept, now: float) -> list[str]:
    used = "-" if kept.used is None else ago(now - kept.used)
    return [label, f"{kept.entries:,}", size(kept.bytes), used]


def _name(name: FamilyName) -> str:
    if not name.backbone:
        return "without a description"
    return f"{printable(name.backbone)} at {name.image_size} px, {printable(name.precision)}"


def _document(kept: Kept) -> dict[str, Any]:
    used = None if kept.used is None else datetime.fromtimestamp(kept.used, UTC).isoformat()
    return {"entries": kept.entries, "bytes": kept.bytes, "used": used}


def _by_kind(entries: Iterable[CacheEntry]) -> list[tuple[Kind, list[CacheEntry]]]:
    found: dict[Kind, list[CacheEntry]] = {}
    for entry in entries:
        found.setdefault(entry.kind, []).append(entry)
    return [(kind, found[kind]) for kind in _WORDS if kind in found]


def _count(kind: Kind, count: int) -> str:
    one, many = _WORDS[kind]
    return f"{count:,} {one if count == 1 else many}"


def _sum(entries: Iterable[CacheEntry]) -> str:
    return size(sum(entry.bytes for entry in entries))
