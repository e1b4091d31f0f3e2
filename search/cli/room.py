"""Whether the disks have room for what a run will write, before its first trial.

:func:`lacking` and :func:`stored` are pure arithmetic; :func:`check_room` looks
at the disks. An estimate: what is there already is not counted, and the
checkpoints are taken to be of the largest backbone, trained whole, with the one
before the last while a trial runs. Only decoded images can be done without.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.backbones.availability import Missing, locate
from search.backbones.catalogue import CATALOGUE, chosen, sizes
from search.cli.choices import cache_bytes, depths_of, image_sizes_of
from search.cli.machine import this_machine
from search.cli.paths import study_folder
from search.data.cache import relieve
from search.data.images import DecodedForm, ImageTable
from search.data.store import decoded_bytes, decoded_path, decoded_side
from search.problems import Exit, SearchError, fail
from search.space.spec import StudySpec
from search.tuning.job import TRIALS
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
class Decoded:
    """The decoded images of a study in one form."""

    form: DecodedForm
    bytes: int
    there: bool
    """On the disk already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """What there is no room to store, so that it is decoded again in every epoch."""

    forms: tuple[DecodedForm, ...] = ()
    bytes: int = 0
    """What they would need."""
    room: int = 0
    """What there is for them."""

    def __str__(self) -> str:
        sides = ", ".join(str(side) for side in sorted({form.side for form in self.forms}))
        return (
            f"decoded images of {sides} px would need {_size(self.bytes)}, there is room for "
            f"{_size(self.room)}: images are decoded again in every epoch; frozen activations "
            "are still stored where they fit"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Where a place is."""

    device: int
    """The same for places on one disk."""
    free: int
    """Bytes."""


def checkpoint_bytes(
    parameters: int, *, keep: int, running: int, default: bool, averages: bool = False
) -> int:
    """What the checkpoints of a search take at the same time.

    Args:
        parameters: Of the backbone.
        keep: Trials whose weights stay.
        running: Trials at once.
        default: Whether the trial at default settings is kept besides.
        averages: Whether trials can keep averages of their weights (``ema``).

    Returns:
        ``checkpoint_bytes(25_000_000, keep=3, running=2, default=True)`` is 25 M x 4
        bytes x (4 trials x the best weights + 2 trials x (these, and twice what they
        go on from: weights + 2 moments)) = 1.8 GB.
    """
    to_go_on = 1 + OPTIMISER_STATES + averages
    copies = (keep + default) + running * (1 + 2 * to_go_on)
    return parameters * FLOAT * copies


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


def stored(
    wanted: Sequence[Decoded], *, budget: int | None, fits: Callable[[int], bool]
) -> tuple[Decoded, ...]:
    """Which decoded images are stored: those there, then the smallest while they fit.

    Args:
        wanted: All that the study can need.
        budget: Of the cache, bytes; None where nothing is said.
        fits: Whether the disk takes so many bytes more, beside the rest of what is needed.

    Returns:
        E.g. of 3, 5 and 9 bytes, a budget of 8 keeps the first two.
    """
    kept = [each for each in wanted if each.there]
    missing = [each for each in wanted if not each.there]
    for each in sorted(missing, key=lambda each: (each.bytes, each.form.interpolation)):
        total = sum(other.bytes for other in kept) + each.bytes
        more = sum(other.bytes for other in kept if not other.there) + each.bytes
        if (budget is None or total <= budget) and fits(more):
            kept.append(each)
    return tuple(kept)


def check_room(
    spec: StudySpec,
    table: ImageTable,
    backbones: Sequence[str],
    cache: Path,
    *,
    disk: Callable[[Path], Disk] = disk_of,
) -> Streaming:
    """Refuse a run whose disks are too small for it, also without stored activations
    and decoded images.

    Args:
        spec: The study.
        table: Its images.
        backbones: Those that will be trained.
        cache: Our cache folder.
        disk: Looks at the disk of a place.

    Returns:
        The decoded images that pass the cache's budget, or that the disk has no
        room for.

    Raises:
        SearchError: Exit.STORAGE, with what is needed and what is free.
    """
    folder = study_folder(spec.checkpoints.dir, spec.name)
    budget = cache_bytes(spec.cache)
    wanted = _decoded(spec, table, backbones, cache)
    rest = [
        Need(what="weights to download", place=cache, bytes=_downloads(spec, backbones, cache)),
        _checkpoints(spec, backbones, folder),
    ]

    def look() -> dict[Path, Disk]:
        return {place: disk(place) for place in (cache, folder)}

    disks = look()
    beside = RESERVE + sum(
        need.bytes for need in rest if disks[need.place].device == disks[cache].device
    )

    def error(decoded: int) -> SearchError | None:
        needs = [Need(what="decoded images", place=cache, bytes=decoded), *rest]
        found = lacking(needs, look())
        if found is not None and relieve(cache, decoded + beside):
            found = lacking(needs, look())
        return found

    if error(0) is not None:
        refused = error(sum(each.bytes for each in wanted if not each.there))
        if refused is not None:
            raise refused
    kept = stored(wanted, budget=budget, fits=lambda more: error(more) is None)
    left = [each for each in wanted if each not in kept]
    rooms = [look()[cache].free - beside - sum(each.bytes for each in kept if not each.there)]
    if budget is not None:
        rooms.append(budget - sum(each.bytes for each in kept))
    return Streaming(
        forms=tuple(each.form for each in left),
        bytes=sum(each.bytes for each in left),
        room=max(0, min(rooms)),
    )


def _decoded(
    spec: StudySpec, table: ImageTable, backbones: Sequence[str], cache: Path
) -> list[Decoded]:
    rules = sizes(spec.weights)
    forms = {
        DecodedForm(
            side=decoded_side(size or rules[name].default),
            interpolation=chosen(name, spec.weights).preprocessing.interpolation,
        )
        for name in backbones
        for size in image_sizes_of(spec.space)
    }
    return [
        Decoded(
            form=form,
            bytes=decoded_bytes(table, side=form.side),
            there=decoded_path(
                table, side=form.side, interpolation=form.interpolation, cache=cache
            ).exists(),
        )
        for form in sorted(forms, key=lambda form: (form.side, form.interpolation))
    ]


def _downloads(spec: StudySpec, backbones: Sequence[str], cache: Path) -> int:
    return sum(
        CATALOGUE[name].parameters * FLOAT
        for name in backbones
        if isinstance(found := locate(name, spec.weights, cache), Missing) and found.fetchable
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
    expected = checkpoint_bytes(
        largest,
        keep=keep,
        running=running,
        default=spec.default_first,
        averages="ema" in spec.space,
    )
    there = sum(file.stat().st_size for file in (folder / TRIALS).glob("*/*.safetensors"))
    count = keep + running + spec.default_first
    what = f"checkpoints of {count} trial{'' if count == 1 else 's'}"
    return Need(what=what, place=folder, bytes=max(0, expected - there))


def _size(count: int) -> str:
    if count >= 2**30:
        return f"{count / 2**30:,.1f} GiB"
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"
