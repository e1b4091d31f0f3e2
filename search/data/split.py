"""Which image is for training, for validation, for the test: fixed by a seed.

Pure. What is decided follows from the images' paths and the seed alone, never
from the order of the files: an image's place in the queue is a hash of both.
A *unit* is what must stay together: a group, or files of the same content. Values
are told apart as classes are, by the fifth of all values that they are in; of few
images, by a larger fraction.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from search.data.images import PARTS, Part
from search.data.iterative import fill_iteratively
from search.data.listing import Found
from search.data.quantiles import BINS, bins_for, part_sizes, quantiles
from search.data.units import together
from search.space.spec import SplitSpec

K = TypeVar("K", bound=Hashable)


def take_subset(images: Sequence[Found], count: int, *, seed: int) -> tuple[Found, ...]:
    """``count`` images with about the shares of classes and parts of all, sorted by path.

    Every class keeps 3 images (or all it has), every class of a given part one.
    Which ones is a queue of its own, so that a subset of another size takes
    mostly the same images.

    Of images in several classes, each class keeps its 3, and the others are drawn
    without regard to classes. Values: fewer bins where ``count`` is below 3 for each.

    Raises:
        ValueError: If ``count`` is less than that.
    """
    if any(image.labels is not None for image in images):
        return _draw(images, count, seed=seed)
    ranked = {image.path: image for image in images}
    binned = quantiles(images, max(1, min(BINS, count // 3)))
    return tuple(ranked[image.path] for image in _stratified(binned, count, seed=seed))


def _draw(images: Sequence[Found], count: int, *, seed: int) -> tuple[Found, ...]:
    queue = sorted(images, key=lambda image: _queue(image.path, seed))
    kept: dict[str, Found] = {}
    have: Counter[tuple[str, str]] = Counter()
    for part in dict.fromkeys(image.part for image in queue):
        for image in queue:
            least = 3 if part in (None, "train") else 1
            if image.part == part and any(have[name, part or ""] < least for name in image.strata):
                have.update((name, part or "") for name in image.strata)
                kept[image.path] = image
    if count < len(kept):
        raise ValueError(f"{len(kept)} images are needed, {count} are asked for")
    for image in queue:
        if len(kept) == count:
            break
        kept.setdefault(image.path, image)
    return tuple(sorted(kept.values(), key=lambda image: image.path))


def _stratified(images: Sequence[Found], count: int, *, seed: int) -> tuple[Found, ...]:
    strata: defaultdict[tuple[str, str], list[Found]] = defaultdict(list)
    for image in images:
        strata[image.label, image.part or ""].append(image)
    least = {key: 1 if key[1] else min(3, len(rows)) for key, rows in strata.items()}
    for label in {key[0] for key in strata}:
        own = [key for key in strata if key[0] == label]
        short = min(3, sum(len(strata[key]) for key in own)) - sum(least[key] for key in own)
        for key in sorted(own, key=lambda key: -len(strata[key])):
            more = max(0, min(short, len(strata[key]) - least[key]))
            least[key] += more
            short -= more
    needed = sum(least.values())
    if count < needed:
        raise ValueError(f"{needed} images are needed, {count} are asked for")
    sizes = {key: len(rows) for key, rows in strata.items()}
    quota = apportion(sizes, min(count, len(images)), least=least)
    kept = [
        image
        for key, rows in strata.items()
        for image in sorted(rows, key=lambda image: _queue(image.path, seed))[: quota[key]]
    ]
    return tuple(sorted(kept, key=lambda image: image.path))


def assign_parts(
    images: Sequence[Found], split: SplitSpec, *, same: Callable[[Found], str] | None = None
) -> tuple[Found, ...]:
    """Every image with its part; given parts stay, the missing ones are cut from train.

    Stratified: each class has its share of every part, within one image where
    no unit is larger, and is in every part whenever it has units enough. Images in
    several classes: ``iterative.py``. Values: by quantiles, of which a small one need not
    be in every part; each part has its share within one image where no unit is larger,
    and one unit at least where there are units enough.

    Args:
        images: Either all or none with a part; with parts, some are train.
        split: The shares are of the images that are cut: all of them, or the
            given train part.
        same: Content of an image; equal ones stay together. None: all differ.

    Returns:
        In the order of ``images``.
    """
    given = {image.part for image in images} - {None}
    cut: list[Part] = [part for part in PARTS if part == "train" or part not in given]
    pool = [image for image in images if image.part in (None, "train")]
    shares = {"val": split.val, "test": split.test}
    sizes = part_sizes(len(pool), cut, shares)
    values = any(image.value is not None for image in pool)
    pool = list(quantiles(pool, bins_for(sizes)))
    counts = Counter(image.label for image in pool)
    units = _units(pool, split.seed, same)
    needed: Mapping[Part, Mapping[str, int]] | None = None
    if values:
        needed = _value_targets(counts, sizes)
        chosen = _fill(units, cut, needed)
    elif any(image.labels is not None for image in pool):
        own = {part: shares.get(part, 0.0) for part in cut}
        chosen = fill_iteratively(units, cut, own | {"train": 1.0 - sum(own.values())})
    else:
        chosen = _fill(units, cut, _targets(counts, cut, shares))
    _repair(units, chosen, cut, needed)
    if values:
        _fill_empty(units, chosen, cut)
    part_of = {image.path: part for unit, part in zip(units, chosen, strict=True) for image in unit}
    return tuple(replace(image, part=part_of.get(image.path, image.part)) for image in images)


def apportion(
    weights: Mapping[K, float], total: int, *, least: Mapping[K, int] | None = None
) -> dict[K, int]:
    """Whole numbers in proportion to ``weights`` that sum to ``total``.

    Source: the largest-remainder method (Hamilton). Deviation: none gets less
    than ``least``, and the others pay for it.

    Returns:
        E.g. ``apportion({"a": 7, "b": 2}, 5) == {"a": 4, "b": 1}``.
    """
    least = least or {}
    keys = sorted(weights, key=repr)
    exact: dict[K, float] = dict.fromkeys(keys, 0.0)
    free, left = list(keys), float(total)
    while free:  # those below their least are fixed there, the others share what is left
        weight = sum(weights[key] for key in free)
        exact.update({key: left * weights[key] / weight if weight else 0.0 for key in free})
        low = [key for key in free if exact[key] < least.get(key, 0)]
        if not low:
            break
        for key in low:
            exact[key] = float(least[key])
            left -= least[key]
            free.remove(key)
    result = {key: int(exact[key]) for key in keys}
    order = sorted(keys, key=lambda key: (-(exact[key] - result[key]), repr(key)))
    for key in order[: total - sum(result.values())]:
        result[key] += 1
    return result


def _targets(
    counts: Mapping[str, int], cut: Sequence[Part], shares: Mapping[str, float]
) -> dict[Part, dict[str, int]]:
    """How many images of each class each part is to have."""
    targets: dict[Part, dict[str, int]] = {}
    left = dict(counts)
    for part in reversed([part for part in cut if part != "train"]):
        quota = apportion(counts, round(shares[part] * sum(counts.values())))
        later = sum(1 for other in cut if other != part and other not in targets)
        targets[part] = {
            label: max(0, min(max(quota[label], 1), left[label] - later)) for label in counts
        }
        left = {label: left[label] - targets[part][label] for label in counts}
    targets["train"] = left
    return targets


def _value_targets(
    counts: Mapping[str, int], sizes: Mapping[Part, int]
) -> dict[Part, dict[str, int]]:
    """How many images of each bin each part is to have: as many as its size in all."""
    targets: dict[Part, dict[str, int]] = {}
    left = dict(counts)
    for part, size in sizes.items():
        quota = apportion(counts, size) if part != "train" else left
        own = {label: min(quota[label], left[label]) for label in counts}
        for label in sorted(counts, key=lambda label: (own[label] - left[label], label)):
            own[label] += min(size - sum(own.values()), left[label] - own[label])
        targets[part] = own
        left = {label: left[label] - own[label] for label in counts}
    return targets


def _units(
    pool: Sequence[Found], seed: int, same: Callable[[Found], str] | None
) -> list[list[Found]]:
    """The pool in pieces that stay together: the largest first, equals in seeded order."""
    numbers = together(
        [
            [
                *([f"group {image.group}"] if image.group else []),
                *([f"same {same(image)}"] if same else []),
            ]
            for image in pool
        ]
    )
    units: defaultdict[int, list[Found]] = defaultdict(list)
    for image, number in zip(pool, numbers, strict=True):
        units[number].append(image)
    return sorted(
        units.values(),
        key=lambda unit: (-len(unit), _queue(min(image.path for image in unit), seed)),
    )


def _fill(
    units: Sequence[Sequence[Found]], cut: Sequence[Part], targets: Mapping[Part, Mapping[str, int]]
) -> list[Part]:
    """A part for each unit: where it brings the classes nearest to their targets.

    Source: the greedy of iterative stratification (Sechidis et al., "On the
    Stratification of Multi-Label Data", ECML 2011), with the squared deviation
    over the target as the distance.
    """
    have: dict[Part, Counter[str]] = {part: Counter() for part in cut}
    chosen: list[Part] = []
    for unit in units:
        if len(unit) == 1:  # the last ones, and most: any part that still lacks some
            label = unit[0].label
            part = next((p for p in cut if have[p][label] < targets[p][label]), cut[0])
            have[part][label] += 1
            chosen.append(part)
            continue
        counts = Counter(image.label for image in unit)

        def cost(part: Part, counts: Counter[str] = counts) -> float:
            return sum(
                count
                * (count + 2.0 * (have[part][label] - targets[part][label]))
                / max(targets[part][label], 0.5)
                for label, count in counts.items()
            )

        best = min(cut, key=cost)
        have[best].update(counts)
        chosen.append(best)
    return chosen


def _repair(
    units: Sequence[Sequence[Found]],
    chosen: list[Part],
    cut: Sequence[Part],
    needed: Mapping[Part, Mapping[str, int]] | None,
) -> None:
    """Move the smallest unit that helps into a part that lacks a class, train first;
    one of which it ``needed`` none is not lacking."""
    labels = [sorted({name for image in unit for name in image.strata}) for unit in units]
    holds: Counter[tuple[Part, str]] = Counter(
        (part, label) for part, own in zip(chosen, labels, strict=True) for label in own
    )
    for part in cut:
        for label in sorted({label for own in labels for label in own}):
            if holds[part, label] or (needed is not None and not needed[part][label]):
                continue
            movable = [at for at in reversed(range(len(units))) if label in labels[at]]
            spare = [
                at for at in movable if all(holds[chosen[at], other] > 1 for other in labels[at])
            ]
            if part == "train" and not spare:  # what is not trained on cannot be learnt
                spare = movable
            for at in spare[:1]:
                holds.subtract((chosen[at], other) for other in labels[at])
                holds.update((part, other) for other in labels[at])
                chosen[at] = part


def _fill_empty(units: Sequence[Sequence[Found]], chosen: list[Part], cut: Sequence[Part]) -> None:
    """Move the smallest unit of the part with most of them into a part without one."""
    for part in cut:
        most, count = Counter(chosen).most_common(1)[0]
        if part not in chosen and count > 1:
            chosen[max(at for at in range(len(units)) if chosen[at] == most)] = part


def _queue(path: str, seed: int) -> bytes:
    """A place in a queue that depends on the path and the seed alone."""
    return hashlib.sha256(f"{seed}\n{path}".encode()).digest()
