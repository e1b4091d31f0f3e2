"""What this machine has, found without importing torch or ray."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CARD = re.compile(r"nvidia\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Cores and cards that a run here could use."""

    cpus: int
    gpus: int


def this_machine(env: Mapping[str, str], *, devices: Path = Path("/dev")) -> Machine:
    """Count the cores this process may use and the NVIDIA cards it can see.

    Args:
        env: For ``CUDA_VISIBLE_DEVICES``.
        devices: Where the driver's device files are.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    return Machine(cpus=cpus, gpus=_gpus(env, devices))


def _gpus(env: Mapping[str, str], devices: Path) -> int:
    try:
        cards = sum(1 for entry in devices.iterdir() if _CARD.fullmatch(entry.name))
    except OSError:
        cards = 0
    if cards == 0 and (devices / "dxg").exists():  # Windows' Linux has one device for all
        cards = 1
    visible = env.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return cards
    # CUDA stops at the first entry that names no card; -1 is the usual "none".
    chosen = [entry for entry in visible.split(",") if entry.strip() not in {"", "-1"}]
    return min(cards, len(chosen))
