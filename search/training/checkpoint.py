"""Checkpoints of a trial: one file each, whole or not at all, never trusted unread.

``best.safetensors`` has the trained tensors of the best epoch;
``last.safetensors`` also the optimiser's and the averages, to go on from; the one
before it stays as ``last.previous.safetensors``. Frozen tensors come from the pretrained weights,
which are named by hash. A digest over content and metadata is inside; a file
whose digest, trial or weights differ is not used. No pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from search.backbones.download import body_seed
from search.backbones.stages import Staged, build
from search.data.files import publish
from search.disk import disk_full
from search.training.config import TrialConfig
from search.training.faults import CheckpointUnusable
from search.training.head import head_of
from search.training.report import EpochReport

FORMAT = "search-checkpoint-1"
Which: TypeAlias = Literal["best", "last", "last.previous"]
LASTS: tuple[Which, ...] = ("last", "last.previous")
"""In the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trial after an epoch."""

    config: TrialConfig
    classes: int
    weights_hash: str
    """Of the pretrained weights that the frozen tensors come from."""
    data_hash: str
    """Of the images' keys and labels."""
    epoch: int
    """Epochs trained."""
    step: int
    """Optimiser steps taken."""
    curve: tuple[EpochReport, ...]
    """What was reported after each epoch up to this one."""
    best_epoch: int
    tensors: Mapping[str, Tensor]
    """Trained tensors by the library's names; in ``best`` their averages, under ``ema``."""
    optimiser: Mapping[str, Tensor]
    """Its moments; empty in ``best``."""
    ema: Mapping[str, Tensor] = field(default_factory=dict)
    """The averages of a trial that has them, by the same names; empty in ``best``."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """The validation metrics of this epoch."""
        return self.curve[self.epoch - 1].metrics

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Those tuned after this epoch; empty but for several classes an image."""
        return self.curve[self.epoch - 1].thresholds

    def identity(self) -> dict[str, Any]:
        """What must agree for a trial to go on from it.

        Not the objective: it changes no training, and which epoch is the best
        can be read from ``curve`` under any (see ``resume.find``).
        """
        return {
            "config": asdict(self.config),
            "classes": self.classes,
            "weights_hash": self.weights_hash,
            "data_hash": self.data_hash,
        }


def path_of(folder: Path, which: Which) -> Path:
    """Where a checkpoint of a trial's folder is."""
    return folder / f"{which}.safetensors"


def write(folder: Path, which: Literal["best", "last"], checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; the last one before it is kept beside it.

    Raises:
        DiskFull: If there is no room; the old files are unchanged.
        OSError: If the disk refuses; the same.
    """
    tensors = {f"model/{name}": tensor for name, tensor in checkpoint.tensors.items()}
    tensors |= {f"optimiser/{name}": tensor for name, tensor in checkpoint.optimiser.items()}
    tensors |= {f"ema/{name}": tensor for name, tensor in checkpoint.ema.items()}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = json.dumps(
        checkpoint.identity()
        | {
            "format": FORMAT,
            "epoch": checkpoint.epoch,
            "step": checkpoint.step,
            "curve": [asdict(report) for report in checkpoint.curve],
            "best_epoch": checkpoint.best_epoch,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = path_of(folder, which)
    part = folder / f".{which}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        save_file(plain, part, metadata={"about": about, "digest": _digest(about, plain)})
        with part.open("rb") as file:
            os.fsync(file.fileno())
        if which == "last" and target.exists():
            target.replace(path_of(folder, "last.previous"))
        publish(part, target)
    except (SafetensorError, OSError) as error:
        unwritten = OSError(f"{target} cannot be written: {error}")
        raise disk_full(error, target) or unwritten from error
    finally:
        part.unlink(missing_ok=True)


def read(folder: Path, which: Which) -> Checkpoint:
    """A checkpoint, every byte of it checked.

    Raises:
        CheckpointUnusable: If it is missing or not exactly what was written.
    """
    path = path_of(folder, which)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointUnusable(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointUnusable(f"{path}: {error}") from error
    about = metadata.get("about", "")
    if metadata.get("digest") != _digest(about, tensors):
        raise CheckpointUnusable(f"{path}: its content is not what was written")
    values = json.loads(about)
    if values["format"] != FORMAT:
        raise CheckpointUnusable(f"{path}: format {values['format']}, not {FORMAT}")
    try:
        return Checkpoint(
            config=TrialConfig(**values["config"]),
            classes=values["classes"],
            weights_hash=values["weights_hash"],
            data_hash=values["data_hash"],
            epoch=values["epoch"],
            step=values["step"],
            curve=tuple(_report(row) for row in values["curve"]),
            best_epoch=values["best_epoch"],
            tensors=_under("model/", tensors),
            optimiser=_under("optimiser/", tensors),
            ema=_under("ema/", tensors),
        )
    except (KeyError, TypeError, ValueError) as error:  # settings that this version has not
        raise CheckpointUnusable(f"{path}: it is another version's ({error})") from error


def _report(row: dict[str, Any]) -> EpochReport:
    return EpochReport(**row | {"thresholds": tuple(row.get("thresholds", ()))})


def load_trained(folder: Path, which: Literal["best", "last"] = "best") -> Checkpoint:
    """The trained part of a trial, for export. Errors as :func:`read`."""
    return read(folder, which)


def assemble(
    checkpoint: Checkpoint, weights: Mapping[str, Tensor] | None, *, weights_hash: str
) -> Staged:
    """The whole trained model: pretrained tensors with the trained ones over them.

    Args:
        checkpoint: From :func:`load_trained`.
        weights: The state that the trial started from; None if it was random.
        weights_hash: Of ``weights``.

    Returns:
        In eval mode, on the CPU; ``model.state_dict()`` has the library's names.

    Raises:
        CheckpointUnusable: If the weights are not those of the trial.
    """
    if weights_hash != checkpoint.weights_hash:
        raise CheckpointUnusable(
            f"the trial started from weights {checkpoint.weights_hash[:12]}, "
            f"these are {weights_hash[:12]}"
        )
    config = checkpoint.config
    staged = build(
        config.backbone,
        classes=checkpoint.classes,
        image_size=config.image_size,
        dropout=config.dropout,
        state=weights,
        seed=config.seed,
        body_seed=body_seed(weights_hash),
        head=head_of(config),
    )
    put_back(staged, checkpoint.tensors)
    return staged.to(memory_format=torch.channels_last)


def put_back(staged: Staged, tensors: Mapping[str, Tensor]) -> None:
    """Copy trained tensors into a model, by name.

    Raises:
        KeyError: If the model has no tensor of that name.
        RuntimeError: If a shape differs.
    """
    state = staged.model.state_dict()
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _digest(about: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
