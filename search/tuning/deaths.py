"""What Ray says when a trial's worker is gone, and how Tune hands it on.

Tune 2.60 writes an error into a file and passes none to its hooks; and it ends
the whole run at an error that is neither of an actor nor of a task, which is
what Ray's memory monitor gives for a worker that it kills in mid-epoch. Here
such an error becomes one of the actor, and the hooks can see the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import exceptions as ray_errors
from ray.air.execution._internal import RayActorManager
from ray.tune.execution import tune_controller

from search.study.records import FailReason
from search.training.faults import OutOfMemory
from search.tuning.endings import Death

_NODE = (
    ray_errors.NodeDiedError,
    ray_errors.LocalRayletDiedError,
    ray_errors.ActorUnschedulableError,
    ray_errors.ActorPlacementGroupRemoved,
    # A killed process gives ActorDiedError at once. A node that is gone is first a
    # closed connection, and known to be dead some 15 seconds later.
    ray_errors.ActorUnavailableError,
)
_NODE_TEXT = "its node has died"
"""In the text of an ActorDiedError, which keeps no other trace of the cause."""
_MEMORY = (ray_errors.OutOfMemoryError, OutOfMemory, MemoryError)


def death_of(error: BaseException | None) -> Death:
    """The death that an error tells of; ``None`` is one that Ray says nothing of."""
    text = "" if error is None else str(error)
    cause = error.cause if isinstance(error, ray_errors.RayTaskError) else error
    # torch's error has the name of Ray's; the driver does not import torch for it.
    if isinstance(cause, _MEMORY) or type(cause).__name__ == "OutOfMemoryError":
        said = str(cause) if isinstance(cause, OutOfMemory) else ""
        return Death(reason=FailReason.OUT_OF_MEMORY, text=text, said=said)
    preempted = isinstance(cause, ray_errors.RayActorError) and cause.preempted
    died_with_node = isinstance(cause, ray_errors.ActorDiedError) and _NODE_TEXT in text
    if isinstance(cause, _NODE) or preempted or died_with_node:
        return Death(reason=FailReason.LOST_NODE, text=text)
    return Death(reason=FailReason.CRASHED, text=text)


def of_an_actor(error: Exception) -> Exception:
    """The error as Tune can take it; one that is not Ray's stays what it is."""
    known = (ray_errors.RayActorError, ray_errors.RayTaskError)
    if isinstance(error, ray_errors.RayError) and not isinstance(error, known):
        return ray_errors.RayActorError(error_msg=f"{type(error).__name__}: {error}")
    return error


class _HandingOn(RayActorManager):
    """Ray's manager of actors, with the error that it is dealing with."""

    failing: Exception | None = None

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        with self._dealing_with(exception):
            super()._actor_start_failed(tracked_actor, exception)

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        with self._dealing_with(exception):
            super()._actor_task_failed(tracked_actor_task, of_an_actor(exception))

    @contextmanager
    def _dealing_with(self, exception: Exception) -> Iterator[None]:
        self.failing = exception
        try:
            yield
        finally:
            self.failing = None


def hand_deaths_on() -> None:
    """Make the next Tuner of this process use our manager; Tune has no option for it."""
    vars(tune_controller)["RayActorManager"] = _HandingOn


def failing(controller: object) -> Exception | None:
    """The error that a controller is dealing with, inside one of its hooks."""
    manager = getattr(controller, "_actor_manager", None)
    return manager.failing if isinstance(manager, _HandingOn) else None
