"""What was typed to start a study, kept in its record, and how it goes on.

The space file is named as it was typed: it is looked for from the current folder.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.cli.options import SpaceFlags
from search.cli.run_exit import finished
from search.cli.status_document import budget, measured
from search.study.records import StudyView

STARTED = "started"
"""Attribute of a study: the space file and the flags of its newest run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingOn:
    """How a study that is not finished goes on."""

    command: str
    """E.g. ``search run flowers.yaml --name flowers``."""
    missing: str = ""
    """The space file, where it is not there any more."""


def started(space: Path, flags: SpaceFlags) -> dict[str, Any]:
    """What the record keeps; no password is in it."""
    return {"space": str(space), "flags": typed(flags)}


def run_command(space: str, flags: list[str]) -> str:
    """The command that starts a study, or goes on with it."""
    return " ".join(["search run", shlex.quote(space), *flags])


def typed(flags: SpaceFlags) -> list[str]:
    """The flags as they would be typed again; a storage URL without its password."""
    from search.space.secrets import redact

    pairs = [
        ("--data", flags.data),
        ("--name", flags.name),
        ("--trials", flags.trials),
        ("--minutes", None if flags.minutes is None else f"{flags.minutes:g}"),
        ("--stop-after", flags.stop_after),
        ("--concurrency", flags.concurrency),
        ("--storage", None if flags.storage is None else redact(flags.storage)),
        *(("--set", redact(item)) for item in flags.sets),
    ]
    return [f"{flag} {shlex.quote(str(value))}" for flag, value in pairs if value is not None]


def going_on(study: StudyView) -> GoingOn | None:
    """How a study goes on that nobody runs; None where nothing is left to do, or its
    record does not say how it was started."""
    kept = study.attributes.get(STARTED)
    if not isinstance(kept, Mapping):
        return None
    if finished(budget(study), study) and measured(study):
        return None
    space, flags = str(kept.get("space")), [str(each) for each in kept.get("flags", ())]
    missing = "" if os.path.isfile(space) else space
    return GoingOn(command=run_command(space, flags), missing=missing)
