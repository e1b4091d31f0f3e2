"""The peak learning rate of each block. Pure; a torch-free leaf.

``search plan`` shows what the optimiser uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

HEAD = "head"
"""As ``backbones.stages`` calls it."""
FROM_THE_HEAD = ("stage4", "stage3", "stage2", "stage1", "stem")
"""The blocks, the one next to the head first."""


class Rates(Protocol):
    """What of a trial decides its rates (``config.TrialConfig``)."""

    @property
    def lr(self) -> float: ...

    @property
    def backbone_lr_scale(self) -> float: ...

    @property
    def layer_decay(self) -> float: ...

    @property
    def unfreeze_depth(self) -> int: ...


def peak_rates(config: Rates) -> Mapping[str, float]:
    """The peak rates of what a trial trains, by block, the head first.

    Returns:
        The head's is ``lr``; the k-th block from the head, counted from 0, has ``lr *
        backbone_lr_scale * layer_decay**k``. Blocks that stay frozen are absent. E.g.
        ``{"head": 1e-3, "stage4": 1e-4, "stage3": 9e-5}``.

    Source: Clark et al., "ELECTRA", ICLR 2020; Bao et al., "BEiT", ICLR 2022. Deviation:
    there the last layer decays once from the head's rate; here ``backbone_lr_scale`` is
    that step.
    """
    body = config.lr * config.backbone_lr_scale
    trained = FROM_THE_HEAD[: config.unfreeze_depth]
    return {
        HEAD: config.lr,
        **{block: body * config.layer_decay**k for k, block in enumerate(trained)},
    }
