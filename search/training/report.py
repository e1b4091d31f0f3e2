"""What a trial says after each epoch. Torch-free leaf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """One epoch's outcome. Metrics are of the validation part."""

    epoch: int
    """1-based; the number of epochs trained so far."""
    metrics: Mapping[str, float]
    """All of ``search.space.spec.METRICS`` by name; ``loss`` is the mean
    cross-entropy without smoothing. May be NaN (a diverged trial)."""
    train_loss: float
    """Mean over the epoch's batches of the loss that was minimised."""
    seconds: float
    """Wall time of the epoch, training and validation."""
    images_per_second: float
    """Training images over the training part's wall time."""
    peak_memory_mb: float
    """Peak resident memory of the process, or of the GPU where one is used."""
    parameters_trained: int
    parameters_total: int
