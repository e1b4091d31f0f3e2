"""What a worker needs for every trial of a study, as one plain value. No ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.backbones.info import Preprocessing
from search.data.images import DecodedForm
from search.space.spec import DataSpec, Metric, PatienceSpec, WeightsSpec
from search.study.records import Outcome
from search.training.config import TrialConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedBackbone:
    """A backbone that is ready to be trained on this machine."""

    name: str
    weights: str | None
    """Absolute path of the pretrained weights; None starts at random."""
    sha256: str
    """Content hash of the weights, or ``random-body:<seed>``."""
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class Abroad:
    """What a node of a cluster makes ready for itself: the paths of a job are those of
    the machine that the driver runs on, but for the study's shared folder."""

    data: DataSpec
    weights: WeightsSpec
    cache: str | None
    """What the space file says of it; None: the node's own environment."""
    forms: tuple[DecodedForm, ...]
    """To which images are decoded before the first trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """The constant part of a study's trials. Plain, so that it can travel."""

    table: str
    """Absolute path of the study's saved image table."""
    trials: str
    """Absolute folder in which each trial has its own."""
    cache: str
    cache_bytes: int | None
    """What it may take; None lets each node decide from its disk."""
    boundaries: tuple[int, ...]
    """Between frozen and trained blocks, that trials of the study can have; 1..5."""
    run: str
    """Tells this run's marks from those of an earlier one."""
    backbones: tuple[PreparedBackbone, ...]
    objective: Metric
    maximize: bool
    threads: int
    """CPU threads of one trial."""
    device: str
    """``cpu`` or ``cuda``."""
    patience: PatienceSpec | None = None
    """When trials end themselves."""
    streamed: tuple[DecodedForm, ...] = ()
    """What there is no room to store: such images are decoded again in every epoch."""
    root: str | None = None
    """Where the images are on this machine; None: where the table says."""
    abroad: Abroad | None = None
    """Set where nodes of a cluster read this job; see ``node.at_home``."""

    def backbone(self, name: str) -> PreparedBackbone:
        """The prepared backbone of that name.

        Raises:
            KeyError: If the study has no such backbone.
        """
        for prepared in self.backbones:
            if prepared.name == name:
                return prepared
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a worker says beside the objective. A class of its own, because Tune
    flattens every mapping in a result."""

    attributes: Mapping[str, Any]
    """Of the epoch, for the study; empty for a failure."""
    failure: Outcome | None = None
    """Set when the trial failed."""
    disk_full: str = ""
    """Set when there was no room for its checkpoint: nothing is wrong with the trial."""
    notes: tuple[str, ...] = ()
    """What a person should know of the trial, since the last report."""
    store_notes: tuple[str, ...] = ()
    """The same of the stores that trials share: ``topic: what``. Every worker finds
    it out for itself, with figures of its own; a person needs each topic once."""
    stores: bool = False
    """Set when it was found worth while to store what a frozen block puts out."""


TRIALS = "trials"
"""Where in the folder of a study its trials are."""


def trial_folder(trials: str | Path, number: int) -> Path:
    """Where a trial keeps its checkpoints: ``00007`` for number 7."""
    return Path(trials) / f"{number:05d}"


def pack(config: TrialConfig, number: int, reported: int) -> dict[str, Any]:
    """A trial as the plain mapping that Ray hands to a worker."""
    return {"number": number, "reported": reported, "trial": asdict(config)}


def unpack(config: Mapping[str, Any]) -> tuple[TrialConfig, int, int]:
    """The inverse of :func:`pack`; keys that Ray added are passed over."""
    return TrialConfig(**config["trial"]), int(config["number"]), int(config["reported"])
