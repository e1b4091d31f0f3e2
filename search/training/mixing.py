"""Mixing the images of a batch, and what is to be learnt of them: mixup and CutMix.

Each image is mixed with the one before it in the batch, the first with the last, all
of a batch in the same shares, as torchvision's ``MixUp`` and ``CutMix`` do; where both
are on, each batch has one of them, with probability 1/2, as in torchvision's
references. What is drawn is a pure function of (trial seed, epoch, step): a trial that
was interrupted goes on with the same numbers.

Frozen blocks are no function of one image then, so nothing of them is stored or read:
:class:`Images` is what such a trial learns from. It is evaluated on whole images, as
every other.
B batch, C channels, K classes, H and W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from search.data.images import Part
from search.training.config import TrialConfig
from search.training.draws import uniforms
from search.training.inputs import Geometry, TrialData, view
from search.training.prefix import chunk_size, padded

_FIRST_KEY = 2**40
"""Added to a step, so that no image's place in an epoch's order has the same word."""
_TRIES = 128
"""All fail once in 10**10 batches for an alpha of 2, less often for smaller ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How one batch is mixed."""

    share: float
    """Of each image itself, in [0, 1]; the one before it has the rest."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom of what comes from the image before, in pixels;
    None blends all of it."""


def mixes(config: TrialConfig) -> bool:
    """Whether a trial mixes images."""
    return config.mixup > 0 or config.cutmix > 0


def mix_of(config: TrialConfig, *, epoch: int, step: int, size: int) -> Mix:
    """How a batch is mixed.

    Args:
        config: A trial that mixes.
        epoch: From 1.
        step: Of the epoch, from 0.
        size: Side of the images in pixels.
    """
    key = np.array([_FIRST_KEY + step], dtype=np.uint64)
    which, across, down, *tries = uniforms(config.seed, epoch, key, 3 + 2 * _TRIES)[0].tolist()
    cut = config.cutmix > 0 and (config.mixup == 0 or which < 0.5)
    share = beta(config.cutmix if cut else config.mixup, np.array(tries).reshape(_TRIES, 2))
    if not cut:
        return Mix(share=share)
    x, y = int(across * size), int(down * size)
    half = int(0.5 * math.sqrt(1.0 - share) * size)
    left, top = max(x - half, 0), max(y - half, 0)
    right, bottom = min(x + half, size), min(y + half, size)
    kept = 1.0 - (right - left) * (bottom - top) / (size * size)
    return Mix(share=kept, box=(left, top, right, bottom))


def beta(alpha: float, u_T2: NDArray[np.float64]) -> float:
    """A number from Beta(alpha, alpha), alpha > 0.

    Args:
        alpha: Both parameters; small ones make 0 and 1 likely, 1 is uniform.
        u_T2: Uniform numbers in [0, 1), one pair a try.

    Source: Jöhnk, "Erzeugung von betaverteilten und gammaverteilten Zufallszahlen",
    Metrika 1964, in logarithms, since u ** (1 / alpha) is 0 for small alphas. Its first
    accepted try is taken; the last one where none is.
    """
    logs = np.log(1.0 - u_T2) / alpha
    accepted = np.logaddexp(logs[:, 0], logs[:, 1]) <= 0
    one, other = logs[accepted.argmax() if accepted.any() else -1].tolist()
    return 1.0 / (1.0 + math.exp(min(other - one, 700.0)))


def shares_of(targets: Tensor, classes: int) -> Tensor:
    """Targets that can be mixed: class indices [B] become shares [B, K] of 0 and 1."""
    if targets.dtype == torch.int64:
        return functional.one_hot(targets, classes).float()
    return targets.float()


def mixed(images_BCHW: Tensor, targets: Tensor, mix: Mix) -> tuple[Tensor, Tensor]:
    """A batch mixed with itself, moved on by one; what was given is left as it was.

    Args:
        images_BCHW: float, normalised.
        targets: [B, ...] float, as :func:`shares_of` gives them.
        mix: How.
    """
    blended = _moved_on(targets).mul_(1.0 - mix.share).add_(targets, alpha=mix.share)
    if mix.box is None:
        images = _moved_on(images_BCHW).mul_(1.0 - mix.share)
        return images.add_(images_BCHW, alpha=mix.share), blended
    left, top, right, bottom = mix.box
    images = images_BCHW.clone()
    inside = images_BCHW[:, :, top:bottom, left:right]
    images[1:, :, top:bottom, left:right] = inside[:-1]
    images[:1, :, top:bottom, left:right] = inside[-1:]
    return images, blended


def _moved_on(rows: Tensor) -> Tensor:
    """``rows.roll(1, 0)`` in the same layout."""
    moved = torch.empty_like(rows)
    moved[1:], moved[:1] = rows[:-1], rows[-1:]
    return moved


class Images:
    """A :class:`~search.training.prefix.Prefix` in front of the first block: the views
    themselves.

    Args:
        data: Of the trial.
        geometry: Of its views.
        device: Where to make them.
    """

    def __init__(self, data: TrialData, geometry: Geometry, device: torch.device) -> None:
        self._data = data
        self._geometry = geometry
        self._device = device

    def __call__(self, part: Part, chosen: NDArray[np.int64], number: int) -> Tensor:
        size = chunk_size(self._device)
        done = []
        for start in range(0, len(chosen), size):
            some = chosen[start : start + size]
            rows = padded(some, size)
            images = view(self._data.part(part), rows, number, self._geometry, self._device)
            done.append(images[: len(some)])
        return done[0] if len(done) == 1 else torch.cat(done)

    def ahead(self, number: int) -> int:
        """One chunk."""
        return chunk_size(self._device)
