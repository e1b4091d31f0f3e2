"""Each way in which Ray says that a worker is gone, and what the study calls it."""

from __future__ import annotations

import pytest

pytest.importorskip("ray.tune")
import torch
from ray import exceptions as ray_errors
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo

from search.study.records import FailReason
from search.training.faults import OutOfMemory
from search.tuning.deaths import death_of, of_an_actor

PREEMPTED = NodeDeathInfo(reason=NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)


def died(text: str, node: NodeDeathInfo | None = None) -> ray_errors.ActorDiedError:
    return ray_errors.ActorDiedError(
        ActorDiedErrorContext(
            error_message=text, actor_id=b"\x01" * 16, class_name="FineTune", node_death_info=node
        )
    )


def of_a_task(cause: Exception) -> Exception:
    """As ``ray.get`` raises it."""
    error: Exception = ray_errors.RayTaskError("step", "traceback", cause).as_instanceof_cause()
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(
            died("The actor is dead because its worker process has died. SYSTEM_ERROR"),
            FailReason.CRASHED,
            id="killed",
        ),
        pytest.param(ray_errors.ActorDiedError(), FailReason.CRASHED, id="died_of_nothing"),
        pytest.param(ray_errors.WorkerCrashedError(), FailReason.CRASHED, id="worker_crashed"),
        pytest.param(of_a_task(RuntimeError("worn")), FailReason.CRASHED, id="step_raised"),
        pytest.param(None, FailReason.CRASHED, id="nothing_said"),
        pytest.param(
            died("The actor died because its node has died. Node Id: f32b"),
            FailReason.LOST_NODE,
            id="died_with_its_node",
        ),
        pytest.param(died("", PREEMPTED), FailReason.LOST_NODE, id="preempted"),
        pytest.param(
            ray_errors.ActorUnavailableError("RpcError: Socket closed", b"\x01" * 16),
            FailReason.LOST_NODE,
            id="unreachable",
        ),
        pytest.param(ray_errors.NodeDiedError("gone"), FailReason.LOST_NODE, id="node_died"),
        pytest.param(ray_errors.LocalRayletDiedError(), FailReason.LOST_NODE, id="raylet_died"),
        pytest.param(
            ray_errors.ActorUnschedulableError("its node is gone"),
            FailReason.LOST_NODE,
            id="unschedulable",
        ),
        pytest.param(
            ray_errors.OutOfMemoryError("killed due to the node running low on memory"),
            FailReason.OUT_OF_MEMORY,
            id="memory_monitor",
        ),
        pytest.param(of_a_task(OutOfMemory("no room")), FailReason.OUT_OF_MEMORY, id="ours"),
        pytest.param(of_a_task(MemoryError()), FailReason.OUT_OF_MEMORY, id="pythons"),
        pytest.param(
            of_a_task(torch.OutOfMemoryError("CUDA")), FailReason.OUT_OF_MEMORY, id="torchs"
        ),
    ],
)
def test_a_death_has_its_reason(error: Exception | None, reason: FailReason) -> None:
    assert death_of(error).reason is reason


def test_a_death_keeps_what_ray_said() -> None:
    assert "node has died" in death_of(died("its node has died")).text


def test_a_worker_that_ran_out_of_memory_says_what_comes_of_it() -> None:
    said = "with 32 images at once; once more with 16 at once, same effective batch"
    assert death_of(of_a_task(OutOfMemory(said))).said == said
    assert death_of(ray_errors.OutOfMemoryError("low on memory")).said == ""


def test_what_tune_would_end_the_run_for_becomes_an_error_of_the_actor() -> None:
    handed = of_an_actor(ray_errors.OutOfMemoryError("low on memory"))
    assert isinstance(handed, ray_errors.RayActorError)
    assert "low on memory" in str(handed)


@pytest.mark.parametrize(
    "error", [ray_errors.ActorDiedError(), of_a_task(ValueError("x")), ValueError("ours")]
)
def test_other_errors_are_handed_on_as_they_are(error: Exception) -> None:
    assert of_an_actor(error) is error
