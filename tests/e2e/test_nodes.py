"""A cluster of several nodes on this machine, with real Ray and the real command.

Each node is Ray's node process in namespaces of its own: it has its own cache folder,
sees an empty, read-only folder where the driver's private one is, and goes at once with
all of its processes, as a machine does that loses power.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.e2e.test_faults import reports, states
from tests.e2e.workplace import SPACE, Workplace, draw_images

pytestmark = pytest.mark.slow

WaitFor = Callable[[Callable[[], bool]], None]
_APART = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
# As ``ray start --block`` does, which refuses where Ray is told to keep to loopback.
_NODE = """
import sys, time
from ray._private.node import Node
from ray._private.parameter import RayParams
params = RayParams(
    gcs_address=sys.argv[1], node_ip_address="127.0.0.1", num_cpus=1, num_gpus=0,
    object_store_memory=150 * 2**20, node_manager_port=0, min_worker_port=0, max_worker_port=0,
    include_log_monitor=False,
)
params.dashboard_agent_listen_port = None
node = Node(params, head=False, shutdown_at_exit=False, spawn_reaper=False)
time.sleep(3600)
"""


def _why_not() -> str:
    try:
        tried = subprocess.run([*_APART, "true"], capture_output=True, check=False)
    except OSError as error:
        return str(error)
    return tried.stderr.decode()


@dataclass
class Nodes:
    """A head that takes no trials, and nodes that do."""

    folder: Path
    head: Cluster
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def add(self, name: str, *, hidden: list[Path]) -> None:
        """Start a node that sees empty folders where ``hidden`` are."""
        ray = [sys.executable, "-c", _NODE, self.head.address]
        hide = [f"mount -t tmpfs -o ro none {shlex.quote(str(each))}" for each in hidden]
        command = " && ".join([*hide, f"exec {shlex.join(ray)}"])
        before = len(self.alive())
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [*_APART, "sh", "-c", command],
                env={
                    **os.environ,
                    "SEARCH_CACHE": str(self.cache(name)),
                    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
                },
                cwd="/",
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 90
        while len(self.alive()) <= before:
            said = (self.folder / f"{name}.log").read_text()
            assert self.processes[name].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def alive(self) -> list[str]:
        return [node["NodeID"] for node in self.head.global_state.node_table() if node["Alive"]]

    def cache(self, name: str) -> Path:
        return self.folder / f"cache-of-{name}"

    def kill(self, name: str) -> None:
        """The machine loses power: nothing of it says goodbye."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    lacking = _why_not()
    if lacking:
        pytest.skip(f"processes cannot be set apart here: {lacking}")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    head = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    started = Nodes(tmp_path, head)
    yield started
    for name in started.processes:
        started.kill(name)
    head.shutdown()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Workplace]:
    """The private folder of a driver: space file, database, cache; images and
    checkpoints are elsewhere."""
    draw_images(tmp_path / "shared/images", per_class=18)
    (tmp_path / "driver").mkdir()
    place = Workplace(tmp_path / "driver")
    yield place
    place.end_all()


def space(driver: Workplace, *, data: str, checkpoints: Path, trials: int, epochs: int) -> None:
    text = SPACE.format(name="tiny", trials=trials, epochs=epochs)
    text = text.replace("path: images", f'path: "{data}"').replace(
        "dir: studies", f"dir: {checkpoints}"
    )
    text = text.replace("concurrency: 1", "concurrency: 2") + "scheduler: {name: none}\n"
    (driver.folder / "tiny.yaml").write_text(text)


def trials_that_reported(driver: Workplace) -> set[int]:
    return {number for number, _ in reports(driver.folder)}


def test_two_nodes_with_caches_of_their_own_of_which_one_is_lost(
    nodes: Nodes, driver: Workplace, wait_for: WaitFor, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    nodes.add("one", hidden=[driver.folder])
    nodes.add("two", hidden=[driver.folder])
    epochs = 25
    space(
        driver,
        data=f"file://{shared}/images",
        checkpoints=shared / "studies",
        trials=3,
        epochs=epochs,
    )
    child = driver.start("run", "tiny.yaml", "--address", nodes.head.address)
    # two trials run at once, one on each node
    wait_for(lambda: child.poll() is not None or trials_that_reported(driver) >= {0, 1})
    if child.poll() is None:
        nodes.kill("two")
    out, err = child.communicate(timeout=250)
    assert child.returncode == 0, out + err
    assert "its node was lost after epoch" in out
    # each node fetched and decoded for itself, once
    for name in ("one", "two"):
        cache = nodes.cache(name)
        assert len(list(cache.glob("fetched/*/files/*/*.png"))) == 54
        assert len(list(cache.glob("decoded/*.u8"))) == 1
        assert len(list(cache.glob("nodes/*.json"))) == 1
    # nothing was lost, nothing is there twice
    assert sorted(reports(driver.folder)) == [
        (number, epoch) for number in range(3) for epoch in range(1, epochs + 1)
    ]
    assert set(states(driver.folder).values()) == {"COMPLETE"}


@pytest.mark.thorough
def test_a_node_that_does_not_share_the_checkpoints_is_named_and_nothing_is_trained(
    nodes: Nodes, driver: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.head.address)  # as inside a Ray job
    shared = tmp_path / "shared"
    (shared / "studies").mkdir()
    nodes.add("apart", hidden=[shared / "studies"])
    space(driver, data=str(shared / "images"), checkpoints=shared / "studies", trials=1, epochs=1)
    done = driver.run("run", "tiny.yaml")
    assert done.returncode == 74, done.stdout + done.stderr
    assert f"does not see what this command writes to {shared}/studies/tiny" in done.stderr
    assert "error: node " in done.stderr
    assert "Traceback" not in done.stderr
    assert reports(driver.folder) == {}
    assert list(shared.glob("studies/tiny/.words*")) == []
