"""Tells Tune that the run is over, once the conductor says so."""

from __future__ import annotations

from typing import Any

from ray import tune

from search.tuning.conductor import Conductor


class Over(tune.Stopper):
    """Never stops one trial (the scheduler does that); stops all at the end."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._conductor.ended
