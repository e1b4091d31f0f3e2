"""What the frozen blocks put out, for rows and views: computed, or read from a store.

:class:`Prefix` is what ``fit`` reads. :class:`ComputedPrefix` computes, and keeps
in memory what a later epoch will read again, within a budget; ``stored.py`` has
the one that reads a store. Neither changes a result: blocks run in chunks of one
size, padded, whatever is asked for, and round what they put out at every block's
end, whether it is stored or not. So an image's features depend on nothing but the
image, the view, the weights and ``Boundary.activations``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.backbones.stages import BLOCKS, Staged
from search.data.images import Part
from search.space.spec import ActivationType
from search.training.inputs import EVALUATION, Examples, Geometry, TrialData, view

HALF_MAX = 65504.0
"""The largest float16."""
_HALF_MAX_BFLOAT16 = 65280.0
"""The largest bfloat16 that is not beyond it: 65504 would become 65536 there, and
infinite as float16."""

KEPT_BYTES = 128 * 2**20
"""How much a trial keeps of what its frozen blocks put out, by default."""


def chunk_size(device: torch.device) -> int:
    """Images that frozen blocks and evaluation take at once, always."""
    return 16 if device.type == "cpu" else 128


def precision(device: torch.device) -> AbstractContextManager[object]:
    """bf16 where the device is a GPU, else float32."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


class Prefix(Protocol):
    """Features at the boundary between frozen and trained blocks."""

    def __call__(self, part: Part, chosen: NDArray[np.int64], number: int) -> Tensor:
        """Features of the view ``number`` of ``chosen`` images of a part, in order.

        Without gradient, on the trial's device. At boundary 0 the images
        themselves; behind the last block the pooled features [B, F].
        """

    def ahead(self, number: int) -> int:
        """How many training images of a view are best asked for at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """All that determines what a :class:`Prefix` gives, and how it will be read."""

    staged: Staged
    """On its device; the frozen blocks are in eval mode."""
    frozen: int
    """Blocks in front of the boundary, 0..5; 5 includes pooling."""
    data: TrialData
    geometry: Geometry
    weights_hash: str
    """Of the frozen blocks' weights."""
    device: torch.device
    epochs: int
    views: int
    activations: ActivationType = "float16"
    """What features are rounded to."""
    in_phase: int | None = None
    """Epochs of the trial that read here; None: all."""


PrefixFactory: TypeAlias = Callable[[Boundary], Prefix]


def run_frozen(
    staged: Staged,
    features: Tensor,
    frozen: int,
    *,
    start: int = 0,
    activations: ActivationType = "float32",
) -> Tensor:
    """What the frozen blocks from ``start`` on put out at the boundary ``frozen``.

    Args:
        staged: On the features' device.
        features: What block ``start`` takes: at 0, images [B, C, H, W].
        frozen: 0..5; behind the last block, pooled too.
        start: 0..frozen.
        activations: What is rounded to at the end of every block. ``float16``
            keeps 11 bits: relative error at most 2**-11, absolute error at most
            2**-25 near zero, and nothing beyond +-65504 (of bfloat16, +-65280).
    """
    with torch.no_grad(), precision(features.device):
        for block in range(start, frozen):
            features = staged.forward_blocks(features, block, block + 1)
            if block + 1 == len(BLOCKS):
                features = staged.pool(features).contiguous()
            features = rounded(features, activations)
    return features


def rounded(features: Tensor, activations: ActivationType) -> Tensor:
    """Features as they are after being stored, in the type and layout they had."""
    if activations == "float32":
        return features
    most = _HALF_MAX_BFLOAT16 if features.dtype == torch.bfloat16 else HALF_MAX
    return features.float().clamp(-most, most).half().to(features.dtype)


def padded(chosen: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """``chosen`` filled up to ``size`` with its last entry."""
    return np.concatenate([chosen, np.repeat(chosen[-1:], size - len(chosen))])


class ComputedPrefix:
    """Computes features when they are asked for, and keeps what is read again.

    Args:
        boundary: Between the frozen and the trained blocks.
        keep_bytes: How much may be kept in the device's memory; 0 keeps nothing.
    """

    def __init__(self, boundary: Boundary, keep_bytes: int = KEPT_BYTES) -> None:
        self._at = boundary
        self._room = keep_bytes
        self._kept: dict[tuple[Part, int], _Kept | None] = {}

    def __call__(self, part: Part, chosen: NDArray[np.int64], number: int) -> Tensor:
        epochs = self._at.in_phase or self._at.epochs
        rereads = number == EVALUATION or self._at.views < epochs
        if not rereads or self._at.frozen == 0:
            return self._compute(part, chosen, number)
        kept = self._kept.get((part, number))
        missing = chosen if kept is None else np.unique(chosen[~kept.filled[chosen]])
        if len(missing) == 0:
            assert kept is not None
            return kept.read(chosen)
        features = self._compute(part, missing, number)
        if (part, number) not in self._kept:
            kept = self._reserve(len(self._at.data.part(part)), features)
            self._kept[part, number] = kept
        if kept is None:
            return features
        kept.write(missing, features)
        return kept.read(chosen)

    def ahead(self, number: int) -> int:
        """One chunk: a multiple of it wastes no padding."""
        return chunk_size(self._at.device)

    def _reserve(self, count: int, features: Tensor) -> _Kept | None:
        """Room for a whole view of a part, or None when the budget is spent."""
        size = count * features[0].numel() * features.element_size()
        if size > self._room:
            return None
        self._room -= size
        return _Kept(features, count)

    def _compute(self, part: Part, chosen: NDArray[np.int64], number: int) -> Tensor:
        at = self._at
        size = chunk_size(at.device)
        done = []
        for start in range(0, len(chosen), size):
            rows = chosen[start : start + size]
            images = view(at.data.part(part), padded(rows, size), number, at.geometry, at.device)
            found = run_frozen(at.staged, images, at.frozen, activations=at.activations)
            done.append(found[: len(rows)])
        return done[0] if len(done) == 1 else torch.cat(done)


class _Kept:
    """A view of a part, filled as it is computed, read back in the same layout."""

    def __init__(self, like: Tensor, count: int) -> None:
        self._channels_last = like.ndim == 4 and like.stride(1) == 1
        self._features = self._plain(like).new_empty((count, *self._plain(like).shape[1:]))
        self.filled = np.zeros(count, dtype=np.bool_)

    def _plain(self, features: Tensor) -> Tensor:
        return features.permute(0, 2, 3, 1) if self._channels_last else features

    def write(self, chosen: NDArray[np.int64], features: Tensor) -> None:
        index = torch.from_numpy(chosen).to(features.device)
        self._features.index_copy_(0, index, self._plain(features))
        self.filled[chosen] = True

    def read(self, chosen: NDArray[np.int64]) -> Tensor:
        index = torch.from_numpy(chosen).to(self._features.device)
        found = self._features.index_select(0, index)
        return found.permute(0, 3, 1, 2) if self._channels_last else found


def stream(
    prefix: Prefix,
    train: Examples,
    order: NDArray[np.int64],
    slices: Iterable[slice],
    number: int,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Batches of training features in an order, read ahead in whole chunks.

    Args:
        prefix: Where features come from.
        train: The train part.
        order: [N] indices into it; one may come more than once.
        slices: Consecutive, from 0 to N.
        number: Of the view.

    Yields:
        (indices, features) of each batch.
    """
    # First, for it may look at images in another order, to store their features.
    chunk = prefix.ahead(number)
    train.expect(order)
    ready: list[Tensor] = []
    have = asked = 0
    for batch in slices:
        want = batch.stop - batch.start
        while have < want:
            upto = min(asked + chunk, len(order))
            ready.append(prefix("train", order[asked:upto], number))
            have += upto - asked
            asked = upto
        joined = ready[0] if len(ready) == 1 else torch.cat(ready)
        yield order[batch], joined[:want]
        ready = [joined[want:]] if have > want else []
        have -= want
