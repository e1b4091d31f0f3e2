"""What a worker leaves in a trial's folder for people to look at; no checkpoint.

Two small files beside the checkpoints, each whole or not there: every epoch's figures,
and what the model said of the validation images at its best epoch so far. They are
written before the checkpoint of their epoch, so that a trial that goes on has them.
They are not worth a trial: what cannot be written is said, and left out.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.targets import Targets
from search.space.spec import Task
from search.study.rows import plain
from search.training.judged import curves, judged, judged_labels, judged_values
from search.training.report import EpochReport

CURVES = "curves.json"
VALIDATION = "validation.json"


class Showing:
    """Keeps what there is to see of one trial, epoch by epoch.

    Args:
        folder: The trial's.
        task: What is learnt.
        targets: Of the validation part.
        files: Paths of its images, as the study's table has them.
        note: Told once what could not be written.
    """

    def __init__(
        self,
        folder: Path,
        task: Task,
        targets: Targets,
        files: Sequence[str],
        note: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._task = task
        self._targets = targets
        self._files = files
        self._note = note
        self._told = False

    def __call__(self, curve: Sequence[EpochReport], found_NK: NDArray[np.floating] | None) -> None:
        """After an epoch; ``found_NK`` where it is the best so far."""
        try:
            _write(self._folder / CURVES, {"epochs": curves(curve)})
            if found_NK is not None:
                document = self._judged(curve[-1], found_NK)
                for error in document["worst"]:
                    error["file"] = self._files[error.pop("image")]
                _write(self._folder / VALIDATION, document)
        except OSError as error:
            if not self._told:
                self._note(f"its curves and errors cannot be written: {error}")
            self._told = True

    def _judged(self, report: EpochReport, found_NK: NDArray[np.floating]) -> dict[str, Any]:
        if self._task == "multilabel":
            return judged_labels(report.epoch, found_NK, self._targets, report.thresholds)
        if self._task == "regression":
            return judged_values(report.epoch, found_NK[:, 0], self._targets)
        return judged(report.epoch, found_NK, self._targets)


def _write(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all for whoever reads it; after a power cut it may be missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    part.write_text(json.dumps(plain(document), allow_nan=False))
    part.replace(path)
