"""Workers that Ray kills for their memory, and nodes that are gone, with real Ray."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest
from ray.cluster_utils import Cluster

from tests.e2e.test_faults import reports, states
from tests.e2e.workplace import Workplace

pytestmark = pytest.mark.slow

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.mark.thorough
def test_what_rays_memory_monitor_kills_is_out_of_memory_and_ends_no_study(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.0")  # any use is too much
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "15000")  # ... but not at once
    workplace.space(trials=1, epochs=5000)
    done = workplace.run("run", "tiny.yaml")
    said = " ".join(done.stdout.split())
    assert "its worker ran out of memory after epoch" in said
    assert "with 8 images at once; once more with 4 at once, same effective batch" in said
    assert "out_of_memory: with 8 images at once, and with 4: " in said
    # The only trial failed, and that is all that stderr says: Ray's own words are the trial's.
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 2
    assert done.stderr.endswith("fix: search status tiny --trial 0 shows the whole error\n")
    assert done.returncode == 5
    assert states(workplace.folder) == {0: "FAIL"}


@pytest.mark.thorough
def test_a_trial_that_hangs_is_ended_and_the_study_goes_on(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    workplace.space(trials=2, epochs=300)
    limit = ("--set", "resources.minutes_per_epoch=0.3", "--set", "scheduler.name=none")
    child = workplace.start("run", "tiny.yaml", *limit)
    wait_for(lambda: len(reports(workplace.folder)) >= 2)
    workers = []
    for process in psutil.Process(child.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, IndexError):
            if re.match(r"ray::.*(Trainable|FineTune)", process.cmdline()[0]):
                workers.append(process)
    assert len(workers) == 1
    workers[0].suspend()
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    assert re.search(r"timeout: no report for 0\.\d minutes after epoch \d", " ".join(out.split()))
    assert states(workplace.folder) == {0: "FAIL", 1: "COMPLETE"}
    assert not workers[0].is_running()
    assert "its worker died" not in out


def test_an_address_without_ray_is_refused_before_a_minute_is_lost(workplace: Workplace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        done = workplace.run("run", "tiny.yaml", "--address", address)
    assert time.monotonic() - began < 30  # imports and the reading of the file among it
    assert done.returncode == 69
    assert f"what listens at {address} is not Ray" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield nodes
    nodes.shutdown()


@pytest.mark.thorough
def test_a_trial_goes_on_when_its_node_is_gone(
    workplace: Workplace, wait_for: WaitFor, cluster: Cluster
) -> None:
    node = cluster.add_node(num_cpus=1)
    workplace.space(trials=1, epochs=60)
    child = workplace.start("run", "tiny.yaml", "--address", cluster.address)
    wait_for(lambda: len(reports(workplace.folder)) >= 2)
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    out, err = child.communicate(timeout=200)
    assert child.returncode == 0, err
    assert "its node was lost after epoch" in out
    assert sorted(reports(workplace.folder)) == [(0, epoch) for epoch in range(1, 61)]
