"""Every node of a joined cluster is looked at, and made ready, before the first trial.

First whether all of them and the driver write to one and the same folder: a trial goes
on on another node only from a checkpoint that is there. Then each node gets its own
images and weights ready (``node.py``), all at the same time, with progress. A node that
joins later does so when its first worker starts.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import search
from search.problems import Exit, Problem, SearchError
from search.space.secrets import redact
from search.tuning.events import Listener, Note, Preparing
from search.tuning.job import TrialJob
from search.tuning.node import Seen, at_home, finds_word, leave_word, visit
from search.tuning.resources import Allocation

WORDS = ".words"
"""In the folder of a study: what driver and nodes leave for each other at the start."""
_SHARE = "checkpoints: {dir: ...} of one folder that every node and this machine can write"
_TELLS = 1.0
"""Seconds between two words of a node's progress."""
_OWN_FOLDER = "runtime_resources/working_dir_files"
"""Part of the path of a Ray job's working folder, which Ray removes."""

Said: TypeAlias = tuple[str, str, int, int]
"""(``progress`` or ``note``, text, done, total)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    id: str
    address: str
    host: str

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"node {self.host}" + (f" ({self.address})" if self.address != self.host else "")


def muster(
    job: TrialJob, folder: Path, allocation: Allocation, listener: Listener, *, storage: str
) -> None:
    """Check the study's folder from everywhere, and make every node ready.

    Args:
        job: The constant part of the study's trials.
        folder: The study's, absolute.
        allocation: What a trial gets; nodes that can take none are left alone.
        listener: Told of progress and notes.
        storage: URL of the study's, with an absolute path where it is a file.

    Raises:
        SearchError: Naming every node that cannot be used, and why.
    """
    logging.getLogger("ray.worker").setLevel(logging.CRITICAL)  # what fails is said by us
    nodes = _nodes(allocation)
    passing = [
        Problem(
            fact=f"{what} is in the working folder of a Ray job, which is removed with it", fix=fix
        )
        for what, fix in (
            (f"checkpoints.dir: {folder}", _SHARE),
            (f"storage: {redact(storage)}", "storage: ${env:SEARCH_STORAGE}, a server or a file"),
        )
        if _OWN_FOLDER in what
    ]
    if passing:
        raise SearchError(passing, Exit.STORAGE)
    listener(Preparing(what="looking at the nodes", done=0, total=len(nodes)))
    _check_folder(nodes, folder)
    _make_ready(nodes, job, listener)


def _nodes(allocation: Allocation) -> list[_Node]:
    """The live nodes that can take a trial."""
    return [
        _Node(
            id=str(node["NodeID"]),
            address=str(node["NodeManagerAddress"]),
            host=str(node["NodeManagerHostname"]),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
        and node["Resources"].get("CPU", 0.0) >= allocation.cpus
        and node["Resources"].get("GPU", 0.0) >= allocation.gpus
    ]


def _check_folder(nodes: list[_Node], folder: Path) -> None:
    words = folder / WORDS
    token = uuid.uuid4().hex
    drivers = f"driver-{token}"
    leave_word(words, drivers, token)
    try:
        asked = {
            node.id: _on(node, visit).remote(words, drivers=drivers, own=node.id, token=token)
            for node in nodes
        }
        problems = [
            Problem(fact=f"{node.name} {trouble}", fix=fix)
            for node in nodes
            for trouble, fix in _trouble(node, asked[node.id], words, token)
        ]
    finally:
        shutil.rmtree(words, ignore_errors=True)
    if problems:
        raise SearchError(problems, Exit.STORAGE)


def _trouble(node: _Node, answer: Any, words: Path, token: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a node, and what to do about it."""
    try:
        seen: Seen = ray.get(answer)
    except ray.exceptions.RayError as error:
        yield (
            f"cannot run {search.__name__}: {_first_line(error)}",
            f"finetune-search {search.__version__} and its packages in the Python of every node",
        )
        return
    here = search.__version__
    if seen.version != here:
        yield (
            f"has finetune-search {seen.version}, this machine {here}",
            f"pip install finetune-search=={here} on every node",
        )
    elif seen.trouble:
        yield seen.trouble, _SHARE
    elif not finds_word(words, node.id, token):
        yield f"writes to {words.parent}, and this machine does not see it", _SHARE


def _make_ready(nodes: list[_Node], job: TrialJob, listener: Listener) -> None:
    # By Ray's generator of what a node says, which its own types do not know.
    running: dict[Any, _Node] = {_on(node, _tell).remote(job): node for node in nodes}
    problems: list[Problem] = []
    status = Exit.DATA
    while running:
        streams: list[Any] = list(running)
        ready: list[Any] = ray.wait(streams, num_returns=1, timeout=_TELLS)[0]
        for stream in ready:
            node = running[stream]
            try:
                said: Any = ray.get(next(stream))
            except StopIteration:
                del running[stream]
                continue
            except ray.exceptions.RayError as error:
                del running[stream]
                fact = f"{node.name} could not be made ready: {_first_line(error)}"
                problems.append(Problem(fact=fact, fix="mend it, or take it out of the cluster"))
                continue
            if isinstance(said, SearchError):
                status = said.status
                problems += [
                    Problem(fact=f"{node.name}: {each.fact}", fix=each.fix, sums_up=each.sums_up)
                    for each in said.problems
                ]
            else:
                listener(_event(node, said))
    if problems:
        raise SearchError(problems, status)


def _event(node: _Node, said: Said) -> Preparing | Note:
    kind, text, done, total = said
    if kind == "note":
        return Note(text=f"{node.name}: {text}", level="warning")
    return Preparing(what=f"{node.name}: {text}", done=done, total=total)


def _tell(job: TrialJob) -> Iterator[Said | SearchError]:
    """Make this node ready; how far it is, and at the end what is wrong. In a worker."""
    latest: list[Said] = []
    notes: list[Said] = []
    faults: list[BaseException] = []

    def work(progress: Callable[[str, int, int], None]) -> None:
        try:
            at_home(
                job,
                env=os.environ,
                progress=progress,
                note=lambda text: notes.append(("note", text, 0, 0)),
            )
        except BaseException as error:  # said by the thread that can
            faults.append(error)

    def progress(what: str, done: int, total: int) -> None:
        latest[:] = [("progress", what, done, total)]

    thread = threading.Thread(target=work, args=(progress,), daemon=True)
    thread.start()
    before: list[Said] = []
    while thread.is_alive():
        thread.join(_TELLS)
        if latest != before:
            before = list(latest)
            for said in before:  # Ray sends into a generator: no list can take its place
                yield said
    for said in notes:
        yield said
    for fault in faults:
        if not isinstance(fault, SearchError):
            raise fault
        yield fault


def _on(node: _Node, function: Callable[..., Any]) -> Any:
    """The function as a task of that node that takes no slot of a trial."""
    there = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
    remote: Any = ray.remote
    return remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(function)


def _first_line(error: BaseException) -> str:
    """The last line of a remote traceback that says something, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
