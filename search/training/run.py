"""A trial set up on its device: model, optimiser, data, features.

:func:`start` makes it from what ``fit`` is given; ``fit`` changes it in place,
epoch by epoch, :func:`enter` from phase to phase; ``resume.py`` writes it to disk
and puts it back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from search.backbones.download import body_seed
from search.backbones.info import Preprocessing
from search.backbones.stages import BLOCKS, Staged, build
from search.training.config import TrialConfig
from search.training.depthwise import speed_up_depthwise
from search.training.ema import Ema
from search.training.head import head_of
from search.training.inputs import Geometry, TrialData
from search.training.lean import keep_less
from search.training.losses import Loss
from search.training.optimiser import optimiser, unfreeze
from search.training.phases import depth_at
from search.training.prefix import Boundary, Prefix, PrefixFactory
from search.training.recipe import recipe_of
from search.training.sampling import (
    Balance,
    balance_of,
    class_counts,
    class_weights,
    side_weights,
)
from search.training.schedule import steps_per_epoch
from search.training.stochastic_depth import set_stochastic_depth
from search.training.task_losses import loss_for
from search.training.trained import changed_names, moves_frozen, set_mode


@dataclass(slots=True, kw_only=True)
class Run:
    """What stays the same, or is changed in place, from epoch to epoch."""

    config: TrialConfig
    data: TrialData
    labels: Tensor
    """Of the train part, on the device."""
    staged: Staged
    optimiser: Optimizer
    ema: Ema | None
    """None where the setting is 0."""
    prefix: Prefix
    """Of the phase."""
    loss: Loss
    balance: Balance
    """What is done about classes with few images."""
    device: torch.device
    weights_hash: str
    data_hash: str
    depth: int
    """Blocks trained in the phase, counted from the head."""
    geometry: Geometry
    factory: PrefixFactory
    found: NDArray[np.floating] | None = None
    """What the model said of the validation images after the last epoch."""

    @property
    def frozen(self) -> int:
        """Blocks in front of the boundary, 0..5."""
        return boundary_at(self.staged, self.config, self.depth)

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return steps_per_epoch(len(self.data.train), self.config.batch_size)


def boundary_at(staged: Staged, config: TrialConfig, depth: int) -> int:
    """Blocks whose output is a pure function of the image and the view, 0..5: the frozen
    ones; none where their batch-norm statistics move."""
    return 0 if moves_frozen(staged, config, depth) else len(BLOCKS) - depth


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
    balance, by_class = _balanced(config, data, classes, target)
    staged = build(
        config.backbone,
        classes=classes,
        image_size=config.image_size,
        dropout=config.dropout,
        state=weights,
        seed=config.seed,
        body_seed=body_seed(weights_hash),
        trained=len(BLOCKS) if config.batch_norm == "train" else config.unfreeze_depth,
        head=head_of(config),
    ).to(target, memory_format=torch.channels_last)
    set_stochastic_depth(staged, config.stochastic_depth)
    keep_less(staged.model)
    speed_up_depthwise(staged.model)
    depth = depth_at(config, 1)
    set_mode(staged, config, depth, training=True)
    geometry = Geometry(
        image_size=config.image_size,
        preprocessing=preprocessing,
        recipe=recipe_of(config),
        augmentation_seed=config.augmentation_seed,
    )
    boundary = Boundary(
        staged=staged,
        frozen=boundary_at(staged, config, depth),
        data=data,
        geometry=geometry,
        weights_hash=weights_hash,
        device=target,
        epochs=config.epochs,
        in_phase=_epochs_at(config, depth),
        views=config.views,
        activations=config.activations,
    )
    return Run(
        config=config,
        data=data,
        labels=data.readout.learnt(data.train.labels).to(target),
        staged=staged,
        optimiser=optimiser(staged, config),
        ema=_ema(staged, config),
        prefix=prefix(boundary),
        loss=loss_for(data.readout.task, config, by_class),
        balance=balance,
        device=target,
        weights_hash=weights_hash,
        data_hash=_data_hash(data),
        depth=depth,
        geometry=geometry,
        factory=prefix,
    )


def enter(run: Run, epoch: int) -> None:
    """Go on to the phase of an epoch, from the one before it: more blocks learn, from the
    pretrained weights that they still have, and features are read where those end."""
    depth = depth_at(run.config, epoch)
    if depth == run.depth:
        return
    unfreeze(run.optimiser, run.staged, run.config, depth=run.depth, deeper=depth)
    run.depth = depth
    set_mode(run.staged, run.config, depth, training=True)
    run.prefix = run.factory(
        Boundary(
            staged=run.staged,
            frozen=run.frozen,
            data=run.data,
            geometry=run.geometry,
            weights_hash=run.weights_hash,
            device=run.device,
            epochs=run.config.epochs,
            in_phase=_epochs_at(run.config, depth),
            views=run.config.views,
            activations=run.config.activations,
        )
    )


def _balanced(
    config: TrialConfig, data: TrialData, classes: int, device: torch.device
) -> tuple[Balance, Tensor | None]:
    """What is done about classes with few images, and the loss's weights where it is those."""
    task = data.readout.task
    if task == "regression":
        return "none", None
    counts_K = class_counts(data.train.labels, classes)
    balance = balance_of(task, config.class_imbalance, counts_K)
    if balance != "weights":
        return balance, None
    several = task == "multilabel"
    weights = side_weights(counts_K, len(data.train)) if several else class_weights(counts_K)
    return balance, torch.from_numpy(weights).float().to(device)


def _ema(staged: Staged, config: TrialConfig) -> Ema | None:
    """Of all that is trained in the end: until then, the average of what does not move is
    what it was."""
    if config.ema == 0:
        return None
    state = staged.model.state_dict()
    names = changed_names(staged, config, config.unfreeze_depth)
    return Ema({name: state[name] for name in names}, config.ema)


def _epochs_at(config: TrialConfig, depth: int) -> int:
    """How many epochs of a trial have this depth."""
    return sum(depth_at(config, epoch) == depth for epoch in range(1, config.epochs + 1))


def _data_hash(data: TrialData) -> str:
    digest = hashlib.sha256()
    for part in (data.train, data.val):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part.keys.tobytes() + part.labels.tobytes())
    return digest.hexdigest()
