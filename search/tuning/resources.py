"""Sharing a cluster out among trials. Pure: takes node sizes, returns numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.space.spec import Resources

_SLACK = 1e-6
"""Ray counts in 1/10,000ths; three times a third of a GPU is one GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSize:
    """What Ray offers on one node."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What each trial gets and how many run at once."""

    cpus: float
    gpus: float
    concurrency: int
    """0 when no node can take a trial; ``lacking`` says why."""
    lacking: str = ""

    @property
    def threads(self) -> int:
        """Threads of one trial, >= 1."""
        return max(1, math.floor(self.cpus + _SLACK))


def allocate(nodes: Sequence[NodeSize], wanted: Resources) -> Allocation:
    """Decide what one trial gets, from the nodes of the cluster.

    Unset wishes are decided here: a whole GPU a trial where the cluster has
    any, and the CPUs of the leanest GPU node shared out fairly; without GPUs
    one thread a trial and a trial a core.

    Args:
        nodes: Sizes of all live nodes; not empty.
        wanted: The ``resources`` section of the space file.

    Returns:
        An allocation; ``allocate([NodeSize(cpus=16, gpus=2)], Resources())`` is
        8 CPUs and 1 GPU a trial, two at once.
    """
    gpus = wanted.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if any(node.gpus >= 1 for node in nodes) else 0.0
    cpus = wanted.cpus_per_trial
    if cpus is None:
        cpus = 1.0
        if gpus > 0:
            shares = [
                node.cpus / math.floor(node.gpus / gpus + _SLACK)
                for node in nodes
                if math.floor(node.gpus / gpus + _SLACK) >= 1
            ]
            cpus = float(max(1, math.floor(min(shares) + _SLACK))) if shares else 1.0
            if shares and min(shares) < 1:
                cpus = round(min(shares), 3)
    slots = sum(_slots(node, cpus, gpus) for node in nodes)
    if wanted.concurrency is not None:
        slots = min(slots, wanted.concurrency)
    lacking = ""
    if slots == 0:
        total_gpus = sum(node.gpus for node in nodes)
        total_cpus = sum(node.cpus for node in nodes)
        if gpus > max((node.gpus for node in nodes), default=0.0):
            lacking = (
                f"waiting for GPUs: asked {gpus:g} for a trial, the cluster has {total_gpus:g}"
            )
        else:
            lacking = (
                f"waiting for CPUs: asked {cpus:g} for a trial, the cluster has {total_cpus:g}"
            )
    return Allocation(cpus=cpus, gpus=gpus, concurrency=slots, lacking=lacking)


def _slots(node: NodeSize, cpus: float, gpus: float) -> int:
    """How many trials fit on one node."""
    fits = [math.floor(node.cpus / cpus + _SLACK)] if cpus > 0 else []
    if gpus > 0:
        fits.append(math.floor(node.gpus / gpus + _SLACK))
    return min(fits) if fits else 0
