"""Which images show nearly the same: one photograph saved twice, resized or retouched.

Pure, with numpy alone. Two steps. Images whose difference hashes are at most LIMIT
bits apart are candidates, found through blocks of bits and not by comparing all
with all; a candidate counts where thumbnails of both agree as well, for a hash of 64
bits takes all pictures of one plain kind for one. Found are other sizes, qualities,
formats and contrast; not cut, mirrored or turned copies.
N images; the hash is [N] uint64, the thumbnail [N, 256] uint8 (16 x 16, grey).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

LIMIT = 6
"""Bits of 64 that the hashes of near copies may differ in."""
AGREEMENT = 0.997
"""Correlation that the thumbnails of near copies have at least. On photographs of solar
cells, which are hard to tell apart, copies of half the size, at JPEG quality 50 or with
more contrast had .998 and more, different cells seldom above .995."""
PLAIN = 4.0
"""Grey levels (standard deviation) below which a thumbnail shows nothing to compare."""
HASH_SIZE = (9, 8)
"""Width and height of the grey picture that is hashed."""
THUMBNAIL_SIDE = 16
MOST_PAIRS = 1_000_000_000
"""Pairs of hashes that are compared; about a minute. Beyond, the rest is left out."""

_BLOCKS = LIMIT + 1
_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """What a comparison found."""

    groups: tuple[tuple[int, ...], ...]
    """Indices of images that show nearly the same, each group sorted, by its first."""
    whole: bool = True
    """False when there were too many pairs to compare them all."""


def difference_hash(grey_HW: NDArray[np.uint8]) -> int:
    """64 bits: whether each pixel is darker than its right neighbour.

    Args:
        grey_HW: Of HASH_SIZE: 8 rows of 9.

    Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013 (dHash).
    """
    bits = (grey_HW[:, :-1] < grey_HW[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_copies(hashes_N: NDArray[np.uint64], thumbs_NP: NDArray[np.uint8]) -> Alike:
    """Groups of two and more images that show nearly the same.

    Two images that are each like a third are in one group.
    """
    spread_N = np.array([row.std() for row in thumbs_NP]) if len(thumbs_NP) else np.zeros(0)
    telling = np.flatnonzero(spread_N >= PLAIN)
    parent = list(range(len(hashes_N)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    left = MOST_PAIRS
    whole = True
    for bucket in _buckets(hashes_N, telling):
        pairs = len(bucket) * (len(bucket) - 1) // 2
        if pairs > left:
            whole = False
            continue
        left -= pairs
        for one, other in _alike(bucket, hashes_N, thumbs_NP, spread_N):
            parent[root(max(one, other))] = root(min(one, other))
    groups: dict[int, list[int]] = {}
    for index in telling.tolist():
        groups.setdefault(root(index), []).append(index)
    found = sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)
    return Alike(groups=tuple(found), whole=whole)


def _buckets(hashes_N: NDArray[np.uint64], telling: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Indices that share a block of bits: hashes at most LIMIT bits apart share one of
    LIMIT + 1 (pigeonhole)."""
    edges = [64 * block // _BLOCKS for block in range(_BLOCKS + 1)]
    for start, end in pairwise(edges):
        mask = np.uint64((1 << (end - start)) - 1)
        keys = (hashes_N[telling] >> np.uint64(start)) & mask
        order = np.argsort(keys, kind="stable")
        cuts = np.flatnonzero(np.diff(keys[order])) + 1
        for members in np.split(telling[order], cuts):
            if len(members) > 1:
                yield members


def _alike(
    bucket: NDArray[np.intp],
    hashes_N: NDArray[np.uint64],
    thumbs_NP: NDArray[np.uint8],
    spread_N: NDArray[np.float64],
) -> Iterator[tuple[int, int]]:
    """Pairs of one bucket that pass both steps."""
    step = max(1, _AT_ONCE // len(bucket))
    for start in range(0, len(bucket), step):
        rows = bucket[start : start + step]
        apart = _bits(hashes_N[rows, None] ^ hashes_N[None, bucket[start:]])
        first, second = np.nonzero(apart <= LIMIT)
        later = second > first
        ones, others = rows[first[later]], bucket[start:][second[later]]
        for at in range(0, len(ones), 10_000):
            some, more = ones[at : at + 10_000], others[at : at + 10_000]
            yield from (
                (int(one), int(other))
                for one, other, near in zip(
                    some, more, _agreement(some, more, thumbs_NP, spread_N), strict=True
                )
                if near >= AGREEMENT
            )


def _agreement(
    ones: NDArray[np.intp],
    others: NDArray[np.intp],
    thumbs_NP: NDArray[np.uint8],
    spread_N: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Pearson's correlation of pairs of thumbnails, -1..1."""
    one = thumbs_NP[ones].astype(np.float64)
    other = thumbs_NP[others].astype(np.float64)
    one -= one.mean(axis=1, keepdims=True)
    other -= other.mean(axis=1, keepdims=True)
    together: NDArray[np.float64] = (one * other).mean(axis=1)
    return together / (spread_N[ones] * spread_N[others])


def _bits(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """How many bits are set in each word.

    Source: H. Warren, "Hacker's Delight", 2nd ed. 2012, section 5-1.
    """
    one, two, four = (np.uint64(1), np.uint64(2), np.uint64(4))
    words = words - ((words >> one) & np.uint64(0x5555555555555555))
    words = (words & np.uint64(0x3333333333333333)) + (
        (words >> two) & np.uint64(0x3333333333333333)
    )
    words = (words + (words >> four)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (words * np.uint64(0x0101010101010101)) >> np.uint64(56)
