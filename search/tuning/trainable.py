"""One Ray actor that trains one trial after another, an epoch at a step.

The heavy imports happen here, in the worker. A fault of a trial is a result
with a ``failure``, so that the actor can be reused; only a death of the process
is Ray's business. After an out-of-memory the process is left for a fresh one:
the step raises, Ray starts the trial again elsewhere, and finds the mark.
"""

from __future__ import annotations

import math
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from search.disk import disk_full
from search.problems import SearchError, printable
from search.study.records import FailReason, Outcome, State
from search.tuning.job import Told, TrialJob, trial_folder, unpack

if TYPE_CHECKING:
    from search.training.config import TrialConfig
    from search.training.report import EpochReport

_MEMORY_MARK = "out-of-memory"


class FineTune(tune.Trainable):
    """Trains the trial in ``config``; ``reset_config`` moves on to the next."""

    _epochs: Iterator[EpochReport]
    _notes: list[str]
    """What a person should know and was not told yet."""
    _store_notes: list[str]
    _worn: str = ""
    """What of the last trial could not be put back."""

    def setup(self, config: dict[str, Any], job: TrialJob | None = None) -> None:
        """Ray's hook, once in an actor's life."""
        if job is None:
            raise ValueError("FineTune needs a job; see tune.with_parameters")
        from search.tuning.worker import Worker

        self._worker = Worker(job)
        self._folder = Path(job.trials)
        self._job = job
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Ray's hook: the next trial in this actor."""
        self._epochs = _nothing()
        self._begin(new_config)
        try:
            self._worker.reset()
        except RuntimeError as error:
            # Ray would fail this trial, which has done nothing; a step that
            # raises makes it start the trial again in a fresh process.
            self._worn = str(error)
        return True

    def cleanup(self) -> None:
        """Ray's hook: the actor is going."""
        self._epochs = _nothing()

    def step(self) -> dict[str, Any]:
        """Train one epoch and report it, or say what went wrong."""
        from search.training.faults import Diverged, OutOfMemory

        if self._worn:
            raise RuntimeError(f"this process is not reused: {self._worn}")
        mark = trial_folder(self._folder, self._number) / f"{_MEMORY_MARK}-{self._job.run}"
        if mark.exists():
            return _failure(FailReason.OUT_OF_MEMORY, mark.read_text(encoding="utf-8"), "")
        try:
            report = next(self._epochs)
        except Diverged as error:
            return _failure(FailReason.DIVERGED, str(error), "")
        except OutOfMemory as error:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(str(error), encoding="utf-8")
            raise
        except SearchError as error:
            return _failure(FailReason.BAD_DATA, str(error).splitlines()[0], str(error))
        except Exception as error:
            full = disk_full(error)
            if full is not None:
                return {"value": math.nan, "told": Told(attributes={}, disk_full=str(full))}
            # every other fault ends this trial, not the study
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            return _failure(FailReason.ERROR, why, traceback.format_exc())
        notes, self._notes = tuple(self._notes), []
        store_notes, self._store_notes = tuple(self._store_notes), []
        return {
            "epoch": report.epoch,
            "value": float(report.metrics[self._job.objective]),
            "told": Told(attributes=_attributes(report), notes=notes, store_notes=store_notes),
        }

    def _begin(self, config: dict[str, Any]) -> None:
        trial, self._number, reported = unpack(config)
        self._notes, self._store_notes = [], []
        self._epochs = self._train(trial, reported)

    def _train(self, trial: TrialConfig, reported: int) -> Iterator[EpochReport]:
        """The epochs; a generator, so that every fault surfaces in ``step``."""
        folder = trial_folder(self._folder, self._number)
        yield from self._worker.train(
            trial,
            folder,
            reported=reported,
            note=lambda text: self._notes.append(text),
            store_note=lambda text: self._store_notes.append(text),
        )


def _nothing() -> Iterator[EpochReport]:
    """No epochs: the generator of the last trial is dropped, and its memory."""
    return iter(())


def _attributes(report: EpochReport) -> dict[str, Any]:
    """What the study keeps of an epoch beside the objective. NaN is no JSON."""
    return {
        "metrics": {
            name: value if math.isfinite(value) else None for name, value in report.metrics.items()
        },
        "train_loss": report.train_loss,
        "seconds": report.seconds,
        "images_per_second": report.images_per_second,
        "peak_memory_mb": report.peak_memory_mb,
        "parameters_trained": report.parameters_trained,
        "parameters_total": report.parameters_total,
        "host": socket.gethostname(),
    }


def _failure(reason: FailReason, why: str, detail: str) -> dict[str, Any]:
    """A result that settles the trial as failed. ``value`` is there for Ray."""
    outcome = Outcome(state=State.FAILED, reason=reason, why=printable(why)[:500], detail=detail)
    return {"value": math.nan, "told": Told(attributes={}, failure=outcome)}
