"""Ray Tune's Searcher over the study: asks the conductor, keeps no state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.search import Searcher

from search.space.settings import Value
from search.training.config import TrialConfig
from search.tuning.asha import Asha
from search.tuning.conductor import Conductor
from search.tuning.job import pack


class StudySearcher(Searcher):
    """Hands Ray the study's next trial under a new Ray id.

    Args:
        conductor: Decides and records.
        scheduler: Its rungs are filled for a trial that goes on.
        resolve: (number, point) -> the trial's full config.
    """

    def __init__(
        self,
        conductor: Conductor,
        scheduler: Asha,
        resolve: Callable[[int, Mapping[str, Value]], TrialConfig],
    ) -> None:
        super().__init__(metric="value", mode="max")
        self._conductor = conductor
        self._scheduler = scheduler
        self._resolve = resolve

    def __getstate__(self) -> dict[str, object]:
        """Nothing of ours goes into Ray's files; see ``Conductor``."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Ray's hook: a config, None (ask again later) or FINISHED."""
        asked = self._conductor.next(trial_id, self._scheduler)
        if asked is None:
            return str(self.FINISHED) if self._conductor.over else None
        config = self._resolve(asked.number, asked.point)
        return pack(config, asked.number, max(asked.curve, default=0))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Ray's hook. All but a lost worker was settled at the report."""
        if error:
            self._conductor.gave_up(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Ray's hook. The study is the only state, so nothing is written."""

    def restore(self, checkpoint_path: str) -> None:
        """Ray's hook; never used, see :meth:`save`."""
