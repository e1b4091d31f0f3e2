"""Ray's cluster: started for this command alone, or joined at an address."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from search.problems import Exit, fail
from search.tuning.address import START, probe
from search.tuning.resources import NodeSize

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # after a stop, Tune's thread may still ask
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # ours is the output
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the study is the record, not Ray's snapshot
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "3600",
}
# Workers are forks of ours; those that Ray would start in advance are of no use.
_NOT_IN_ADVANCE = {"RAY_prestart_worker_first_driver": "0"}
# Ray replaces a loopback address that it is given by one that other machines
# reach, and then listens on all of them; without "clusters" it keeps to loopback.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that this process is connected to."""

    nodes: tuple[NodeSize, ...]
    local: bool
    """Started by this command, and gone when it ends."""
    scratch: Path
    """A folder inside Ray's temporary folder, for what Tune insists on writing."""


@contextmanager
def connected(
    address: str | None, *, cpus: int | None = None, python: str | None = None
) -> Iterator[Cluster]:
    """Connect to Ray, and disconnect (stop, where local) at the end.

    Args:
        address: None starts Ray on this machine, on loopback only; otherwise
            ``auto`` or ``host:port`` of a running cluster.
        cpus: Cores that a local start may use; None takes those of this process.
        python: What a local start runs in place of Python; see ``forkserver``.

    Raises:
        SearchError: If no cluster answers at ``address``; exit 69, within seconds
            where nothing like Ray listens.
    """
    for name, value in (_QUIET | (_LOOPBACK | _NOT_IN_ADVANCE if address is None else {})).items():
        os.environ.setdefault(name, value)
    if address is not None:
        probe(address, encrypted=os.environ.get("RAY_USE_TLS", "0") not in ("", "0"))
    runtime = {} if python is None or address is not None else {"py_executable": python}
    yield from _joined(address, cpus, runtime)


def _joined(address: str | None, cpus: int | None, runtime: dict[str, str]) -> Iterator[Cluster]:
    import ray

    for name in ("ray", "ray.tune", "ray.air"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        if address is None:
            with _spared():
                ray.init(
                    address="local",
                    num_cpus=cpus if cpus is not None else len(os.sched_getaffinity(0)),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _node_ip_address="127.0.0.1",
                    runtime_env=runtime or None,
                )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if address is None:
            raise
        # Another port of Ray's, another version of it, no token for it, or gone since.
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise fail(
            f"the Ray cluster at {address} cannot be joined: {' '.join(why[:3])}",
            fix=START,
            status=Exit.MISSING,
        ) from error
    session = _scratch()
    try:
        yield Cluster(nodes=_nodes(), local=address is None, scratch=session)
    finally:
        ray.shutdown()
        if address is None:
            _remove(session)


def _remove(session: Path) -> None:
    """Remove what Ray leaves of a session that is over: logs, sockets, Tune's files."""
    shutil.rmtree(session, ignore_errors=True)
    latest = session.with_name("session_latest")
    with suppress(OSError):
        if latest.is_symlink() and not latest.exists():  # another run's is left alone
            latest.unlink()


@contextmanager
def _spared() -> Iterator[None]:
    """Have Ray start without the helpers that one machine has no use for.

    They scale a cluster, forward logs and serve Ray's own dashboard: 150 MB, 2.4 s of
    CPU, and Ray waits until the last of them answers. Ray has no public switch for
    them; should these methods be gone one day, they are started.
    """
    from ray._private.node import Node

    names = ("start_monitor", "start_log_monitor", "start_api_server")
    methods = {name: getattr(Node, name) for name in names if hasattr(Node, name)}
    try:
        for name in methods:
            setattr(Node, name, _not_started)
        yield
    finally:
        for name, method in methods.items():
            setattr(Node, name, method)


def _not_started(
    node: object, *, include_dashboard: bool = False, raise_on_failure: bool = False
) -> None:
    """In place of any of :func:`_spared`'s methods."""


def _nodes() -> tuple[NodeSize, ...]:
    """Sizes of all live nodes, as Ray counts them."""
    import ray

    return tuple(
        NodeSize(
            cpus=float(node["Resources"].get("CPU", 0.0)),
            gpus=float(node["Resources"].get("GPU", 0.0)),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    )


def _scratch() -> Path:
    """This session's folder under Ray's temporary folder.

    Ray has no public call for it.
    """
    from ray._private.worker import global_worker

    node = global_worker.node
    if node is None:
        raise RuntimeError("ray.init has not been called")
    return Path(node.get_session_dir_path())
