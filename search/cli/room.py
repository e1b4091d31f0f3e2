"""Whether the disks have room for what a run will write, before its first trial.

:func:`lacking` is pure arithmetic; :func:`check_room` looks at the disks. An
estimate: what is there already is not counted, and the checkpoints are taken to
be of the largest backbone, trained whole. One that errs costs a refused run, so
it leaves out what may never be written (the checkpoint before the last one).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.backbones.availability import Missing, locate
from search.backbones.catalogue import CATALOGUE, sizes
from search.cli.choices import depths_of, image_sizes_of
from search.cli.machine import this_machine
from search.cli.paths import study_folder
from search.data.cache import relieve
from search.data.images import ImageTable
from search.data.store import decoded_bytes, decoded_path, decoded_side
from search.problems import Exit, SearchError, fail
from search.space.spec import StudySpec
from search.tuning.homes import TRIALS
from search.tuning.resources import NodeSize, allocate

RESERVE = 500 * 2**20
"""Bytes that stay free on each disk: the record, logs, other programs."""
FLOAT = 4
"""Bytes of a parameter; weights and moments are float32 on disk."""
OPTIMISER_STATES = 2
"""AdamW's moments, each as large as what is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that will be written."""

    what: str
    """E.g. ``decoded images``."""
    place: Path
    """The folder that it is written below."""
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Where a place is."""

    device: int
    """The same for places on one disk."""
    free: int
    """Bytes."""


def checkpoint_bytes(parameters: int, *, keep: int, running: int, default: bool) -> int:
    """What the checkpoints of a search take at the same time.

    Args:
        parameters: Of the backbone.
        keep: Trials whose weights stay.
        running: Trials at once.
        default: Whether the trial at default settings is kept besides.

    Returns:
        ``checkpoint_bytes(25_000_000, keep=3, running=2, default=True)`` is
        6 trials x 25 M x 4 bytes x (weights + 2 moments) = 1.8 GB.
    """
    return (keep + running + default) * parameters * FLOAT * (1 + OPTIMISER_STATES)


def lacking(
    needs: Sequence[Need], disks: Mapping[Path, Disk], *, reserve: int = RESERVE
) -> SearchError | None:
    """The first disk that is too small for what will be written to it.

    Args:
        needs: In the order of the message.
        disks: Of every place among ``needs``.
        reserve: Bytes that must stay free.
    """
    for device in dict.fromkeys(disk.device for disk in disks.values()):
        here = [need for need in needs if disks[need.place].device == device and need.bytes]
        free = min(disk.free for disk in disks.values() if disk.device == device)
        total = sum(need.bytes for need in here) + reserve
        if here and total > free:
            parts = [f"{need.what} {_size(need.bytes)}" for need in here]
            places = dict.fromkeys(str(need.place) for need in here)
            return fail(
                f"{' and '.join(places)}: about {_size(total)} will be needed on that disk "
                f"({', '.join([*parts, f'reserve {_size(reserve)}'])}), {_size(free)} is free",
                fix="free some space, or put checkpoints: {dir: ...} or SEARCH_CACHE on another "
                "disk, or a lower checkpoints: {keep: ...}",
                status=Exit.STORAGE,
            )
    return None


def disk_of(place: Path) -> Disk:
    """The disk of a folder, which need not exist yet."""
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    return Disk(device=existing.stat().st_dev, free=shutil.disk_usage(existing).free)


def check_room(
    spec: StudySpec,
    table: ImageTable,
    backbones: Sequence[str],
    cache: Path,
    *,
    disk: Callable[[Path], Disk] = disk_of,
) -> None:
    """Refuse a run whose disks are too small for it, also without stored activations.

    Args:
        spec: The study.
        table: Its images.
        backbones: Those that will be trained.
        cache: Our cache folder.
        disk: Looks at the disk of a place.

    Raises:
        SearchError: Exit.STORAGE, with what is needed and what is free.
    """
    folder = study_folder(spec.checkpoints.dir, spec.name)
    needs = [
        Need(what="decoded images", place=cache, bytes=_decoded(spec, table, backbones, cache)),
        Need(what="weights to download", place=cache, bytes=_downloads(spec, backbones, cache)),
        _checkpoints(spec, backbones, folder),
    ]
    disks = {place: disk(place) for place in (cache, folder)}
    here = disks[cache].device
    total = sum(need.bytes for need in needs if disks[need.place].device == here)
    if lacking(needs, disks) is not None and relieve(cache, total + RESERVE):
        disks = {place: disk(place) for place in (cache, folder)}
    error = lacking(needs, disks)
    if error is not None:
        raise error


def _decoded(spec: StudySpec, table: ImageTable, backbones: Sequence[str], cache: Path) -> int:
    rules = sizes()
    wanted = {
        (
            decoded_side(size or rules[name].default),
            CATALOGUE[name].preprocessing.interpolation,
        )
        for name in backbones
        for size in image_sizes_of(spec.space)
    }
    return sum(
        decoded_bytes(table, side=side)
        for side, interpolation in wanted
        if not decoded_path(table, side=side, interpolation=interpolation, cache=cache).exists()
    )


def _downloads(spec: StudySpec, backbones: Sequence[str], cache: Path) -> int:
    return sum(
        CATALOGUE[name].parameters * FLOAT
        for name in backbones
        if CATALOGUE[name].url and isinstance(locate(name, spec.weights, cache), Missing)
    )


def _checkpoints(spec: StudySpec, backbones: Sequence[str], folder: Path) -> Need:
    machine = this_machine(os.environ)
    node = NodeSize(cpus=machine.cpus, gpus=machine.gpus)
    running = max(1, allocate([node], spec.resources).concurrency)
    trials = spec.budget.trials
    keep = spec.checkpoints.keep
    if trials is not None:
        running = min(running, trials)
        keep = max(0, min(keep, trials - running - spec.default_first))
    largest = max(CATALOGUE[name].parameters for name in backbones)
    if max(depths_of(spec.space)) == 0:
        largest = 0  # the head alone is saved
    expected = checkpoint_bytes(largest, keep=keep, running=running, default=spec.default_first)
    there = sum(file.stat().st_size for file in (folder / TRIALS).glob("*/*.safetensors"))
    count = keep + running + spec.default_first
    what = f"checkpoints of {count} trial{'' if count == 1 else 's'}"
    return Need(what=what, place=folder, bytes=max(0, expected - there))


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
