"""A trial set up on its device: model, optimiser, data, features.

:func:`start` makes it from what ``fit`` is given; ``fit`` changes it in place,
epoch by epoch; ``resume.py`` writes it to disk and puts it back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search.backbones.info import Preprocessing
from search.backbones.stages import BLOCKS, Staged, build
from search.training.config import TrialConfig
from search.training.inputs import Geometry, TrialData
from search.training.losses import Loss, loss_of
from search.training.optimiser import optimiser
from search.training.prefix import Boundary, Prefix, PrefixFactory
from search.training.schedule import steps_per_epoch


@dataclass(slots=True, kw_only=True)
class Run:
    """What stays the same, or is changed in place, from epoch to epoch."""

    config: TrialConfig
    data: TrialData
    labels: Tensor
    """Of the train part, on the device."""
    staged: Staged
    adamw: torch.optim.AdamW
    prefix: Prefix
    loss: Loss
    device: torch.device
    weights_hash: str
    data_hash: str

    @property
    def frozen(self) -> int:
        """Blocks in front of the boundary, 0..5."""
        return len(BLOCKS) - self.config.unfreeze_depth

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return steps_per_epoch(len(self.data.train), self.config.batch_size)


def start(
    config: TrialConfig,
    *,
    data: TrialData,
    weights: Mapping[str, Tensor] | None,
    preprocessing: Preprocessing,
    weights_hash: str,
    classes: int,
    device: str,
    prefix: PrefixFactory,
) -> Run:
    """Build the model on its device, ready for its first epoch. Arguments as ``fit``'s."""
    target = torch.device(device)
    staged = build(
        config.backbone,
        classes=classes,
        image_size=config.image_size,
        dropout=config.dropout,
        state=weights,
        seed=config.seed,
        trained=config.unfreeze_depth,
    ).to(target, memory_format=torch.channels_last)
    staged.set_mode(config.unfreeze_depth, training=True)
    boundary = Boundary(
        staged=staged,
        frozen=len(BLOCKS) - config.unfreeze_depth,
        data=data,
        geometry=Geometry(
            image_size=config.image_size,
            preprocessing=preprocessing,
            policy=config.augmentation,
            augmentation_seed=config.augmentation_seed,
        ),
        weights_hash=weights_hash,
        device=target,
        epochs=config.epochs,
        views=config.views,
        activations=config.activations,
    )
    return Run(
        config=config,
        data=data,
        labels=torch.from_numpy(data.train.labels).to(target),
        staged=staged,
        adamw=optimiser(staged, config),
        prefix=prefix(boundary),
        loss=loss_of(config),
        device=target,
        weights_hash=weights_hash,
        data_hash=_data_hash(data),
    )


def _data_hash(data: TrialData) -> str:
    digest = hashlib.sha256()
    for part in (data.train, data.val):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part.keys.tobytes() + part.labels.tobytes())
    return digest.hexdigest()
