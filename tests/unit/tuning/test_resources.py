"""How a cluster is shared out among trials. No Ray, no card."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.space.spec import Resources
from search.tuning.resources import NodeSize, allocate


@pytest.mark.parametrize(
    ("nodes", "wanted", "expected"),
    [
        pytest.param([NodeSize(cpus=2)], Resources(), (1, 0, 2), id="a_trial_a_core"),
        pytest.param([NodeSize(cpus=16, gpus=2)], Resources(), (8, 1, 2), id="cpus_shared_out"),
        pytest.param(
            [NodeSize(cpus=64), NodeSize(cpus=8, gpus=1), NodeSize(cpus=32, gpus=2)],
            Resources(),
            (8, 1, 3),
            # the leanest GPU node has 8 CPUs for one GPU; 1 + 2 GPUs; the CPU node idles
            id="mixed_nodes",
        ),
        pytest.param(
            [NodeSize(cpus=8, gpus=1)],
            Resources(gpus_per_trial=0.25),
            (2, 0.25, 4),
            id="a_quarter_of_a_gpu",
        ),
        pytest.param(
            [NodeSize(cpus=9, gpus=1)],
            Resources(gpus_per_trial=1 / 3),
            (3, 1 / 3, 3),
            id="three_thirds_are_one",
        ),
        pytest.param(
            [NodeSize(cpus=16, gpus=4)],
            Resources(gpus_per_trial=2),
            (8, 2, 2),
            id="two_gpus_a_trial",
        ),
        pytest.param(
            [NodeSize(cpus=16, gpus=4)],
            Resources(gpus_per_trial=0, cpus_per_trial=2),
            (2, 0, 8),
            id="gpus_refused",
        ),
        pytest.param(
            [NodeSize(cpus=1, gpus=2)], Resources(), (0.5, 1, 2), id="fewer_cpus_than_gpus"
        ),
        pytest.param([NodeSize(cpus=8)], Resources(concurrency=3), (1, 0, 3), id="capped"),
    ],
)
def test_allocation_matches_table(
    nodes: list[NodeSize], wanted: Resources, expected: tuple[float, float, int]
) -> None:
    allocation = allocate(nodes, wanted)
    assert (allocation.cpus, allocation.gpus, allocation.concurrency) == pytest.approx(expected)
    assert allocation.lacking == ""


def test_says_what_the_cluster_lacks_in_numbers() -> None:
    allocation = allocate([NodeSize(cpus=4)], Resources(gpus_per_trial=1))
    assert allocation.concurrency == 0
    assert allocation.lacking == "waiting for GPUs: asked 1 for a trial, the cluster has 0"


def test_asking_more_cpus_than_any_node_has_is_said() -> None:
    allocation = allocate([NodeSize(cpus=4), NodeSize(cpus=4)], Resources(cpus_per_trial=6))
    assert allocation.lacking == "waiting for CPUs: asked 6 for a trial, the cluster has 8"


@pytest.mark.slow
@given(
    nodes=st.lists(
        st.builds(NodeSize, cpus=st.integers(1, 128), gpus=st.integers(0, 8)),
        min_size=1,
        max_size=5,
    ),
    gpus=st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 1.0, 2.0])),
)
def test_no_node_is_ever_asked_for_more_than_it_has(
    nodes: list[NodeSize], gpus: float | None
) -> None:
    allocation = allocate(nodes, Resources(gpus_per_trial=gpus))
    assert allocation.concurrency * allocation.gpus <= sum(n.gpus for n in nodes) + 1e-6
    assert allocation.concurrency * allocation.cpus <= sum(n.cpus for n in nodes) + 1e-6
    assert allocation.threads >= 1
