"""Images and weights made ready by a child process, from the parent's side.

:class:`Preparation` starts ``search.cli.prepare``, passes its progress on and
gives what is :class:`Ready`. torch stays out of the driver this way.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.backbones.info import Preprocessing
from search.data.images import DecodedForm
from search.data.parallel import QUIET
from search.problems import Exit, Place, Problem, SearchError
from search.tuning.events import Listener, Note, Preparing
from search.tuning.job import PreparedBackbone

TIDIES_UP = 2.0
"""Seconds that the child gets to remove what it was about to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the first trial needs, on this machine's disk."""

    table: Path
    """The checked and split image table, in the cache folder."""
    fingerprint: str
    counts: dict[str, int]
    """Images in each part."""
    classes: tuple[str, ...]
    backbones: tuple[PreparedBackbone, ...]
    left_out: tuple[str, ...]
    """Backbones of the space whose weights are not here (``unavailable: skip``)."""
    licence: str = ""
    streamed: tuple[DecodedForm, ...] = ()
    """What there is no room to store as decoded images: decoded in every epoch."""
    decoded: tuple[DecodedForm, ...] = ()
    """What is stored as decoded images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to prepare."""

    document: dict[str, Any]
    """The resolved space (``search.space.document``)."""
    base: str
    """Folder that relative data paths start at."""
    cache: str
    fixed: tuple[str, ...] = ()
    """Backbones that an existing study is fixed to; empty for a new one."""


class Preparation:
    """The child process, from the parent's side. Start, then :meth:`wait`."""

    def __init__(self, request: Request) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-W", QUIET, "-m", "search.cli.prepare"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            process_group=0,  # Ctrl-C in a terminal is for the run, which ends it
        )
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(asdict(request)))
        self._child.stdin.close()

    def wait(self, listener: Listener) -> Ready:
        """Pass progress on until everything is ready.

        Raises:
            SearchError: As the child raised it.
            RuntimeError: If the child died; its traceback is on stderr.
        """
        assert self._child.stdout is not None
        outcome: Ready | SearchError | None = None
        for line in self._child.stdout:
            message = json.loads(line)
            kind = message.pop("kind")
            if kind == "preparing":
                listener(Preparing(**message))
            elif kind == "note":
                listener(Note(**message))
            elif kind == "ready":
                outcome = _ready(message)
            else:
                outcome = SearchError(
                    [_problem(problem) for problem in message["problems"]],
                    Exit(message["status"]),
                )
        status = self._child.wait()
        if isinstance(outcome, SearchError):
            raise outcome
        if outcome is None:
            raise RuntimeError(f"the preparation ended with status {status} and no result")
        return outcome

    def end(self) -> None:
        """Stop the child if it still runs; at once where it does not tidy up soon."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(TIDIES_UP)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


def _ready(message: dict[str, Any]) -> Ready:
    backbones = tuple(
        PreparedBackbone(
            name=row["name"],
            weights=row["weights"],
            sha256=row["sha256"],
            preprocessing=Preprocessing(
                mean=tuple(row["preprocessing"]["mean"]),
                std=tuple(row["preprocessing"]["std"]),
                interpolation=row["preprocessing"]["interpolation"],
                crop_ratio=row["preprocessing"]["crop_ratio"],
            ),
        )
        for row in message["backbones"]
    )
    return Ready(
        table=Path(message["table"]),
        fingerprint=message["fingerprint"],
        counts=message["counts"],
        classes=tuple(message["classes"]),
        backbones=backbones,
        left_out=tuple(message["left_out"]),
        licence=message["licence"],
        streamed=tuple(DecodedForm(**row) for row in message["streamed"]),
        decoded=tuple(DecodedForm(**row) for row in message["decoded"]),
    )


def _problem(row: dict[str, Any]) -> Problem:
    place = row.pop("place")
    return Problem(**row, place=Place(**place) if place else None)
