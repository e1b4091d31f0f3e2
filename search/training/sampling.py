"""What is done about classes with few images: weights, or an order that repeats them.

Pure: class counts and labels in, weights and orders out. Counts are those of the
train part. N images, K classes.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.training.draws import permutation
from search.training.schedule import epoch_order

Balance: TypeAlias = Literal["none", "weights", "sampler"]
"""What ``class_imbalance`` comes to; ``auto`` is one of these."""

_WEIGHTS_FROM = 2.0
_SAMPLER_ABOVE = 10.0


def class_counts(labels_N: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """[K] images of each class."""
    return np.bincount(labels_N, minlength=classes).astype(np.int64)


def largest_to_smallest(counts_K: NDArray[np.integer]) -> float:
    """How many times the images of the smallest class the largest has; classes
    without images do not count."""
    present = counts_K[counts_K > 0]
    return float(present.max() / present.min())


def balance_of(class_imbalance: str, counts_K: NDArray[np.integer]) -> Balance:
    """What is done, for a value of the setting.

    Args:
        class_imbalance: ``none``, ``weights``, ``sampler`` or ``auto``.
        counts_K: Images of each class, at least one in all.

    Returns:
        For ``auto``, by r, images of the largest class over those of the smallest:
        ``none`` for r < 2, ``weights`` for 2 <= r <= 10, ``sampler`` above. A weight
        lets a rare class teach in the few batches that it is in, by steps r times as
        large; where r is large, so are the steps, and most batches have none of it.
        The two bounds are our own.

    Raises:
        ValueError: For any other value.
    """
    if class_imbalance == "none":
        return "none"
    if class_imbalance == "weights":
        return "weights"
    if class_imbalance == "sampler":
        return "sampler"
    if class_imbalance != "auto":
        raise ValueError(f"no class_imbalance {class_imbalance!r}")
    ratio = largest_to_smallest(counts_K)
    if ratio < _WEIGHTS_FROM:
        return "none"
    return "weights" if ratio <= _SAMPLER_ABOVE else "sampler"


def said(class_imbalance: str, counts_K: NDArray[np.integer]) -> str:
    """What ``auto`` chose and why, in a sentence; empty for any other value."""
    if class_imbalance != "auto":
        return ""
    ratio = largest_to_smallest(counts_K)
    return (
        f"class_imbalance: auto is {balance_of('auto', counts_K)}: the largest class has "
        f"{ratio:.1f} times the training images of the smallest"
    )


def class_weights(counts_K: NDArray[np.integer]) -> NDArray[np.float64]:
    """What an image of each class counts: N / (C n_k), C classes that have images.

    The mean over the training images is 1, so the loss keeps its scale, and every
    class counts the same in all, e.g. ``class_weights([3, 1]) == [2/3, 2]``. 0 for a
    class without images.
    """
    present = counts_K > 0
    share = counts_K.sum() / present.sum()
    return np.where(present, share / np.maximum(counts_K, 1), 0.0)


def order(
    balance: Balance, seed: int, epoch: int, labels_N: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The train part's images in an epoch, from (seed, epoch) alone.

    Args:
        balance: ``sampler`` gives :func:`balanced_order`; the others, each image once.
        seed: The trial's.
        epoch: 1-based.
        labels_N: Classes of the train part.

    Returns:
        [N] indices.
    """
    if balance == "sampler":
        return balanced_order(seed, epoch, labels_N)
    return epoch_order(seed, epoch, len(labels_N))


def balanced_order(seed: int, epoch: int, labels_N: NDArray[np.integer]) -> NDArray[np.int64]:
    """N images, the same number of every class, in an order from (seed, epoch) alone.

    Classes differ by one image at most, where N is no multiple of their number. Of a
    class with fewer images than its share each is repeated as often as any other, or
    once more; of one with more, another part is taken in every epoch.
    """
    present, counts = np.unique(labels_N, return_counts=True)
    share, left = divmod(len(labels_N), len(present))
    wanted = share + (permutation(_seed(seed, epoch, "left"), 0, len(present)) < left)
    taken = []
    for label, count, want in zip(present, counts, wanted, strict=True):
        members = np.flatnonzero(labels_N == label)
        own = _seed(seed, epoch, f"class {label}")
        rounds = [permutation(own, number, count) for number in range(-(-want // count))]
        taken.append(members[np.concatenate(rounds)[:want]] if rounds else members[:0])
    chosen = np.concatenate(taken).astype(np.int64)
    return chosen[permutation(seed, epoch, len(chosen))]


def _seed(seed: int, epoch: int, what: str) -> int:
    """A seed of its own for each purpose."""
    digest = hashlib.sha256(f"{what} of epoch {epoch} of seed {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
