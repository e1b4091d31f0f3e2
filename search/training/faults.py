"""Why a trial ended badly, as types. Torch-free leaf.

``reason`` is a value of ``search.study.records.FailReason``; that room is not
imported here. Every fault survives pickling, so it can cross processes.
"""

from __future__ import annotations

from typing import ClassVar


class TrialFault(Exception):
    """A trial cannot go on; the study can."""

    reason: ClassVar[str] = "error"


class Diverged(TrialFault):
    """A loss or an output was NaN or infinite."""

    reason: ClassVar[str] = "diverged"


class OutOfMemory(TrialFault):
    """The device or the host had no room; the process should not be reused."""

    reason: ClassVar[str] = "out_of_memory"


class SingleValues(TrialFault):
    """Batch-norm would be trained on one value of each channel: no step can be taken."""


class CheckpointUnusable(TrialFault):
    """A checkpoint is missing, damaged, or of another trial."""
