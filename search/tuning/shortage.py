"""When a trial's worker ran out of memory, and with how many images at once it goes on.

A trial that runs out of memory is tried once more with half as many images at once,
its batch the same; then it fails. What happened is a line each in a file beside its
checkpoints, so that a fresh process finds it, and so does a later run, which goes on
with as few. Neither ray nor torch here.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from search.problems import printable

_FILE = "out-of-memory.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """One time that there was too little memory."""

    run: str
    """Of the command; tells this run's from those of an earlier one."""
    batch_size: int
    at_once: int
    """Images that went through the model together."""
    why: str
    """The first line of what torch, Python or Ray said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortages:
    """All of a trial, the latest last."""

    batch_size: int
    """What it goes through with at once where memory allows."""
    past: tuple[Shortage, ...] = ()

    @property
    def at_once(self) -> int:
        """Images that go through the model together from now on: the batch, or half of
        it. At least two of several: batch-norm cannot train on one value."""
        if not self.past or self.batch_size == 1:
            return self.batch_size
        return max(2, self.batch_size // 2)

    def over(self, run: str) -> bool:
        """Whether the trial failed: it ran out with fewer images, too, and did so in
        this run. After an earlier run's there may be more memory now."""
        return len(self.past) > 1 and self.past[-1].run == run

    @property
    def text(self) -> str:
        """All of it in a line, e.g. ``with 32 images at once, and with 16: CUDA out of
        memory``; what was said the last time."""
        first, *others = [each.at_once for each in self.past]
        more = [f"and with {count}" for count in dict.fromkeys(others)]
        return f"{', '.join([f'with {_images(first)} at once', *more])}: {self.past[-1].why}"


def shortages(folder: Path, batch_size: int) -> Shortages:
    """Those that a trial's folder tells of; none where it tells nothing.

    Args:
        folder: Of the trial's checkpoints.
        batch_size: Of the trial, or its ``micro_batch`` where it has one; lines of
            another one are an older trial's.

    Raises:
        OSError: If the file is there and cannot be read.
    """
    try:
        lines = (folder / _FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return Shortages(batch_size=batch_size)
    found = [each for line in lines if (each := _parsed(line)) is not None]
    past = tuple(each for each in found if each.batch_size == batch_size)
    return Shortages(batch_size=batch_size, past=past)


def remember(folder: Path, batch_size: int, *, run: str, why: str) -> str:
    """Note in a trial's folder that its worker ran out of memory just now.

    Args:
        folder: Of the trial's checkpoints; made if needed.
        batch_size: As for :func:`shortages`.
        run: Of the command.
        why: What was said; its first line is kept.

    Returns:
        What was, and what comes of it, for a person: ``with 32 images at once; once
        more with 16 at once, same effective batch``.

    Raises:
        OSError: If it cannot be written.
    """
    before = shortages(folder, batch_size)
    said = printable(why.strip().partition("\n")[0])[:300]
    now = Shortage(run=run, batch_size=batch_size, at_once=before.at_once, why=said)
    after = Shortages(batch_size=batch_size, past=(*before.past, now))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _FILE).open("a", encoding="utf-8") as file:
        # A line that was cut short by a crash is ended first.
        file.write(f"\n{json.dumps(asdict(now))}\n")
        file.flush()
        os.fsync(file.fileno())
    what = f"with {_images(before.at_once)} at once"
    if after.over(run):
        return what
    if after.at_once == before.at_once:
        return f"{what}; once more in a fresh process"
    return f"{what}; once more with {after.at_once} at once, same effective batch"


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _parsed(line: str) -> Shortage | None:
    """A line of the file; None for an empty or a damaged one."""
    try:
        found = Shortage(**json.loads(line))
    except (ValueError, TypeError):
        return None
    numbers = isinstance(found.batch_size, int) and isinstance(found.at_once, int)
    return found if numbers else None
