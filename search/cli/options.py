"""What was typed, as frozen values. No command line library here, no reading.

``main.py`` fills these in; ``space_file.py`` turns :class:`SpaceFlags` into
overrides of the space file; ``run.py`` takes :class:`RunOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFlags:
    """The flags that override a space file. None or empty: not given."""

    data: str | None = None
    """A folder (becomes ``data.path``) or a .csv file (``data.manifest``)."""
    name: str | None = None
    """Replaces ``study.name``."""
    trials: int | None = None
    """Replaces ``budget.trials``."""
    minutes: float | None = None
    """Replaces ``budget.minutes``."""
    stop_after: int | None = None
    """Replaces ``budget.stop_after``."""
    concurrency: int | None = None
    """Replaces ``resources.concurrency``: trials at once, at most."""
    storage: str | None = None
    """Replaces ``storage``; wins over SEARCH_STORAGE."""
    sets: tuple[str, ...] = ()
    """``KEY=VALUE`` of each ``--set``, as typed, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Everything that ``search run`` was given."""

    space: Path
    """The space file, as typed."""
    flags: SpaceFlags = field(default_factory=SpaceFlags)
    address: str | None = None
    """Of a running Ray cluster; None starts Ray on this machine."""
    json: bool = False
    """One document on stdout; lines of progress on stderr."""
    dashboard: bool = False
    """Serve the Optuna dashboard beside the run, on loopback."""
    began: float = field(compare=False)
    """When the command began, of ``time.monotonic()``."""
