"""What is done about classes with few images: weights, or an order that repeats them.

Pure: class counts and labels in, weights and orders out. Counts are those of the
train part. An image in several classes cannot be repeated for one of them alone, so
there are no orders for those. N images, K classes.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.data.targets import Targets
from search.space.spec import Task
from search.training.draws import permutation
from search.training.schedule import epoch_order

Balance: TypeAlias = Literal["none", "weights", "sampler"]
"""What ``class_imbalance`` comes to; ``auto`` is one of these."""

_WEIGHTS_FROM = 2.0
_SAMPLER_ABOVE = 10.0

MOST_WEIGHT = 100.0
"""What one side of a class, the images in it or the others, counts at most, in times
of the other. A class with an image or two would else make steps of its own."""


def class_counts(labels: Targets, classes: int) -> NDArray[np.int64]:
    """[K] images of each class, from class indices [N], or from [N, K] that are 1 where
    an image is in a class."""
    if labels.ndim == 2:
        counts_K: NDArray[np.int64] = labels.sum(axis=0, dtype=np.int64)
        return counts_K
    return np.bincount(labels, minlength=classes).astype(np.int64)


def largest_to_smallest(counts_K: NDArray[np.integer]) -> float:
    """How many times the images of the smallest class the largest has; classes
    without images do not count, and where none has any, it is 1."""
    present = counts_K[counts_K > 0]
    return float(present.max() / present.min()) if len(present) else 1.0


def balance_of(task: Task, class_imbalance: str, counts_K: NDArray[np.integer]) -> Balance:
    """What is done, for a value of the setting.

    Args:
        task: ``multiclass`` or ``multilabel``.
        class_imbalance: ``none``, ``weights``, ``auto`` or, for one class an image,
            ``sampler``.
        counts_K: Images of each class.

    Returns:
        For ``auto``, by r, images of the largest class over those of the smallest:
        ``none`` for r < 2, ``weights`` for 2 <= r <= 10, ``sampler`` above, or
        ``weights`` where an image can be in several classes. A weight
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
    if class_imbalance == "sampler" and task == "multiclass":
        return "sampler"
    if class_imbalance != "auto":
        raise ValueError(f"no class_imbalance {class_imbalance!r} of the task {task}")
    ratio = largest_to_smallest(counts_K)
    if ratio < _WEIGHTS_FROM:
        return "none"
    return "weights" if ratio <= _SAMPLER_ABOVE or task == "multilabel" else "sampler"


def said(task: Task, class_imbalance: str, counts_K: NDArray[np.integer]) -> str:
    """What ``auto`` chose and why, in a sentence; empty for any other value."""
    if class_imbalance != "auto":
        return ""
    ratio = largest_to_smallest(counts_K)
    return (
        f"class_imbalance: auto is {balance_of(task, 'auto', counts_K)}: the largest class has "
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


def side_weights(counts_K: NDArray[np.integer], images: int) -> NDArray[np.float64]:
    """What an image counts for each class of several: [2, K], row 0 where it is not in
    the class, row 1 where it is.

    Row 1 over row 0 is torch's ``pos_weight``: images that are not in the class over
    those that are, within 1 / MOST_WEIGHT and MOST_WEIGHT, so that both sides of a class
    count the same in all. A class that no image is in, or every one, has 1 and 1.
    Deviation from ``pos_weight``, which leaves row 0 at 1: the mean of each class over
    the training images is kept at 1, as :func:`class_weights` keeps it. Else a rare
    class would count up to twice what it does unweighted and one that most images are
    in nearly nothing, and ``lr``, ``l1`` and ``clip_norm`` would mean something else.

    Args:
        counts_K: Images in each class.
        images: In all, >= 1.

    Returns:
        E.g. ``side_weights([1], 4) == [[2/3], [2]]``: 3 images at 2/3 and 1 at 2.
    """
    without_K = images - counts_K
    both = (counts_K > 0) & (without_K > 0)
    ratio_K = np.where(both, without_K / np.maximum(counts_K, 1), 1.0)
    ratio_K = ratio_K.clip(1 / MOST_WEIGHT, MOST_WEIGHT)
    mean_K = (ratio_K * counts_K + without_K) / images
    return np.stack([1 / mean_K, ratio_K / mean_K])


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
