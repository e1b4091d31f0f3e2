"""Ray as this command starts it: on loopback alone, counted from the cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LISTENERS = """
import json, psutil
from search.tuning.cluster import connected
with connected(None, cpus=2) as cluster:
    me = psutil.Process()
    found = []
    for process in [me, *me.children(recursive=True)]:
        for each in process.net_connections(kind="inet"):
            if each.status == "LISTEN":
                found.append(each.laddr.ip)
print(json.dumps({"found": found, "cpus": [node.cpus for node in cluster.nodes]}))
"""

DECLARED = """
import json, logging, os
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
import ray
from ray.cluster_utils import Cluster
from search.space.spec import Resources
from search.tuning.cluster import connected
from search.tuning.resources import allocate
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 2})
nodes.add_node(num_cpus=2, num_gpus=1)
nodes.add_node(num_cpus=4, num_gpus=0)
with connected(nodes.address) as cluster:
    rows = {}
    for name, wanted in (
        ("auto", Resources()), ("half", Resources(gpus_per_trial=0.5)),
        ("two", Resources(gpus_per_trial=2)), ("none", Resources(gpus_per_trial=0)),
    ):
        given = allocate(cluster.nodes, wanted)
        # Ray agrees: exactly so many placement groups are ready at once.
        bundle = {"CPU": given.cpus, "GPU": given.gpus} if given.gpus else {"CPU": given.cpus}
        groups = [ray.util.placement_group([bundle]) for _ in range(given.concurrency + 1)]
        ready, late = ray.wait([group.ready() for group in groups],
                               num_returns=given.concurrency + 1, timeout=4)
        rows[name] = [given.cpus, given.gpus, given.concurrency, len(ready)]
        for group in groups:
            ray.util.remove_placement_group(group)
nodes.shutdown()
print(json.dumps(rows))
"""


def run(script: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_listens_beyond_this_machine() -> None:
    told = run(LISTENERS)
    assert told["cpus"] == [2.0]
    assert len(told["found"]) >= 4  # driver, gcs, raylet, workers
    assert {address.removeprefix("::ffff:") for address in told["found"]} == {"127.0.0.1"}


@pytest.mark.thorough
def test_declared_gpus_of_mixed_nodes_are_shared_out_as_ray_places_them() -> None:
    # head: 4 CPUs, 2 GPUs; second: 2 CPUs, 1 GPU; third: 4 CPUs
    assert run(DECLARED) == {
        "auto": [2.0, 1.0, 3, 3],
        "half": [1.0, 0.5, 6, 6],
        "two": [4.0, 2.0, 1, 1],
        "none": [1.0, 0.0, 10, 10],
    }
