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
    """All of ``search.space.spec.METRICS_OF`` the task by name; ``loss`` is the mean
    cross-entropy without smoothing, or the mean squared error. Decisions are made at
    a probability of 0.5. May be NaN (a diverged trial)."""
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
    stopped_early: str = ""
    """Why the trial ends itself here, before its last epoch; not kept in checkpoints."""
    thresholds: tuple[float, ...] = ()
    """Of each class, tuned on the validation part after this epoch; several classes an
    image alone. They enter no metric here: they would flatter these images."""
