"""What a process that was ended for its memory could not note itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from search.space.settings import Value
from search.study.records import FailReason
from search.training.config import TrialConfig
from search.tuning.conductor import Conductor
from search.tuning.endings import Death
from search.tuning.job import TrialJob, trial_folder
from search.tuning.shortage import remember


class Killed:
    """Hands deaths on to the conductor, with a shortage noted where Ray ended a worker.

    Args:
        conductor: Knows which trial it was.
        resolve: (number, point) -> the trial's full config.
        job: Where trials keep what they note.
    """

    def __init__(
        self,
        conductor: Conductor,
        resolve: Callable[[int, Mapping[str, Value]], TrialConfig],
        job: TrialJob,
    ) -> None:
        self._conductor = conductor
        self._resolve = resolve
        self._job = job

    def __getstate__(self) -> dict[str, object]:
        """Nothing of ours goes into Ray's files; see ``Conductor``."""
        return {}

    def died(self, ray_id: str, death: Death) -> None:
        """A trial's worker is gone."""
        trial = self._conductor.trial(ray_id)
        if trial is not None and death.reason is FailReason.OUT_OF_MEMORY and not death.said:
            folder = trial_folder(self._job.trials, trial.number)
            wanted = self._resolve(trial.number, trial.point).at_once
            with suppress(OSError):  # then it is tried again as it was
                said = remember(folder, wanted, run=self._job.run, why=death.text)
                death = replace(death, said=said)
        self._conductor.worker_died(ray_id, death)
