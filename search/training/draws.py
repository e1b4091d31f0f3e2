"""Random numbers as a pure function of integers: no state, no stream, no library.

Every number is a hash of what it belongs to, so it depends neither on what was
drawn before nor on which images share a batch, and stays the same for every
version of numpy and torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: a bijection in which every bit moves every other.

    Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014, with Stafford's variant 13.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _word(value: int) -> NDArray[np.uint64]:
    return np.array([value & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64)


def words(seed: int, index: int, keys_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One 64-bit hash of (seed, index, key) per key, shape [N]."""
    state = _mix(_word(seed) + _GOLDEN)
    state = _mix((state ^ _word(index)) + _GOLDEN)
    return _mix((keys_N ^ state) + _GOLDEN)


def uniforms(seed: int, index: int, keys_N: NDArray[np.uint64], count: int) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) per key, shape [N, count].

    Args:
        seed: Any integer; taken modulo 2**64.
        index: Second seed, e.g. the view number.
        keys_N: One word per row, e.g. :func:`key_of` of an image.
        count: Numbers per row. Number j is the same for every count > j.
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    state = words(seed, index, keys_N)[:, None] + steps[None, :]
    return (_mix(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, index: int, count: int) -> NDArray[np.int64]:
    """The numbers 0..count-1 in an order determined by (seed, index)."""
    keys = words(seed, index, np.arange(count, dtype=np.uint64))
    return np.argsort(keys, kind="stable").astype(np.int64)


def key_of(sha256: str) -> int:
    """The word that stands for an image: the first 16 hex digits of its hash."""
    return int(sha256[:16], 16)


def keys_of(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """:func:`key_of` of many images."""
    return np.array([key_of(sha256) for sha256 in hashes], dtype=np.uint64)


def torch_seed(seed: int, epoch: int) -> int:
    """A seed for torch's own generators, in [0, 2**63), from (seed, epoch)."""
    digest = hashlib.sha256(f"epoch {epoch} of seed {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
