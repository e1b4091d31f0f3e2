"""One Ray actor that trains one trial after another, an epoch at a step.

The heavy imports happen here, in the worker. A fault of a trial is a result
with a ``failure``, so that the actor can be reused; only a death of the process
is Ray's business. After an out-of-memory the process is left for a fresh one: the
step raises, and Ray starts the trial again elsewhere, with half as many images at
once (``shortage.py``).
"""

from __future__ import annotations

import math
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from search.backbones.without_compiler import put_off_compiler
from search.disk import disk_full
from search.problems import SearchError, printable
from search.study.records import NOTES, STOPPED_EARLY, FailReason, Outcome, State
from search.tuning.job import Told, TrialJob, trial_folder, unpack
from search.tuning.shortage import Shortages, remember, shortages

if TYPE_CHECKING:
    from search.training.config import TrialConfig
    from search.training.report import EpochReport


class FineTune(tune.Trainable):
    """Trains the trial in ``config``; ``reset_config`` moves on to the next."""

    _epochs: Iterator[EpochReport]
    _notes: list[str]
    """What a person should know and was not told yet."""
    _store_notes: list[str]
    _said: list[str]
    """All that there was to know of this trial, decisions too; kept with it."""
    _memory: Shortages | None
    """When the trial ran out of memory before; read at its first step."""
    _worn: str = ""
    """What of the last trial could not be put back."""

    def setup(self, config: dict[str, Any], job: TrialJob | None = None) -> None:
        """Ray's hook, once in an actor's life."""
        if job is None:
            raise ValueError("FineTune needs a job; see tune.with_parameters")
        put_off_compiler()
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
        from search.training.faults import Diverged, SingleValues
        from search.training.memory import out_of_memory

        if self._worn:
            raise RuntimeError(f"this process is not reused: {self._worn}")
        folder, wanted = trial_folder(self._folder, self._number), self._trial.at_once
        try:
            if self._memory is None:
                self._memory = shortages(folder, wanted)
                if self._memory.over(self._job.run):
                    return _failure(FailReason.OUT_OF_MEMORY, self._memory.text, "")
                self._notes += _as_before(self._memory, self._job.run)
            report = next(self._epochs)
        except Diverged as error:
            return _failure(FailReason.DIVERGED, str(error), "")
        except SingleValues as error:
            return _failure(FailReason.ERROR, str(error), "")
        except SearchError as error:
            return _failure(FailReason.BAD_DATA, str(error).splitlines()[0], str(error))
        except Exception as error:
            short = out_of_memory(error)
            if short is not None:
                said = remember(folder, wanted, run=self._job.run, why=str(short))
                raise type(short)(said) from error
            full = disk_full(error)
            if full is not None:
                return {"value": math.nan, "told": Told(attributes={}, disk_full=str(full))}
            # every other fault ends this trial, not the study
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            return _failure(FailReason.ERROR, why, traceback.format_exc())
        notes, self._notes = tuple(self._notes), []
        store_notes, self._store_notes = tuple(self._store_notes), []
        decisions = self._worker.decisions()
        self._said += [*notes, *store_notes, *(each.text for each in decisions)]
        return {
            "epoch": report.epoch,
            "value": float(report.metrics[self._job.objective]),
            "told": Told(
                attributes={
                    **_attributes(report, at_once=self._memory.at_once, of=wanted),
                    **({} if self._balance is None else {"balance": self._balance}),
                    **({NOTES: list(self._said)} if self._said else {}),
                },
                notes=notes,
                store_notes=store_notes,
                stores=any(each.stored for each in decisions),
            ),
        }

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial, self._number, reported = unpack(config)
        self._notes, self._store_notes, self._said = [], [], []
        self._memory = None
        self._balance = self._worker.balance(self._trial)
        self._epochs = self._train(self._trial, reported)

    def _train(self, trial: TrialConfig, reported: int) -> Iterator[EpochReport]:
        """The epochs; a generator, so that every fault surfaces in ``step``."""
        yield from self._worker.train(
            trial,
            trial_folder(self._folder, self._number),
            reported=reported,
            micro_batch=None if self._memory is None else self._memory.at_once,
            note=lambda text: self._notes.append(text),
            store_note=lambda text: self._store_notes.append(text),
        )


def _nothing() -> Iterator[EpochReport]:
    """No epochs: the generator of the last trial is dropped, and its memory."""
    return iter(())


def _as_before(memory: Shortages, run: str) -> list[str]:
    """What to say of shortages of an earlier run; those of this one were told."""
    if not memory.past or memory.past[-1].run == run:
        return []
    return [
        f"it ran out of memory in an earlier run, {memory.text}; "
        f"it goes on with {memory.at_once} at once, same effective batch"
    ]


def _attributes(report: EpochReport, *, at_once: int, of: int) -> dict[str, Any]:
    """What the study keeps of an epoch beside the objective. NaN is no JSON."""
    return {
        **({"micro_batch": at_once} if at_once != of else {}),
        **({STOPPED_EARLY: report.stopped_early} if report.stopped_early else {}),
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
