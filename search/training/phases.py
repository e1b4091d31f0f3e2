"""How many blocks are trained in which epoch. Pure; a torch-free leaf.

Depth is a function of the epoch alone, so a trial that goes on needs no memory of
its phases. It never falls: a block that was trained stays trained, and
``unfreeze_depth`` is where every strategy ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from search.space.settings import Value


class Strategy(Protocol):
    """What of a trial decides its depth (``config.TrialConfig``)."""

    @property
    def finetune(self) -> str: ...

    @property
    def unfreeze_depth(self) -> int: ...

    @property
    def head_epochs(self) -> int: ...

    @property
    def unfreeze_every(self) -> int: ...


def depth_at(config: Strategy, epoch: int) -> int:
    """How many blocks are trained in an epoch, counted from the head.

    Args:
        config: The trial.
        epoch: 1-based.

    Returns:
        0 for the head alone. E.g. gradual to a depth of 2, a block every 3 epochs:
        0 up to epoch 3, 1 up to epoch 6, then 2.

    Raises:
        ValueError: If ``epoch`` is below 1.

    Source: Kumar et al., ICLR 2022 (``head_then_partial``); Howard and Ruder, ACL 2018,
    section 3.3 (``gradual``). Deviations: blocks instead of layers; one lr_schedule over
    all phases.
    """
    if epoch < 1:
        raise ValueError(f"need epoch >= 1, got {epoch=}")
    final = config.unfreeze_depth
    if config.finetune == "head_then_partial":
        return 0 if epoch <= config.head_epochs else final
    if config.finetune == "gradual":
        return min(final, (epoch - 1) // config.unfreeze_every)
    return final


def first_at(config: Strategy, depth: int) -> int:
    """The first epoch in which at least ``depth`` blocks are trained, e.g. 4 for a
    depth of 1 with a block every 3 epochs.

    Raises:
        ValueError: If ``depth`` is beyond the trial's final one.
    """
    if not 0 <= depth <= config.unfreeze_depth:
        raise ValueError(f"need 0 <= depth <= {config.unfreeze_depth}, got {depth=}")
    if depth == 0 or config.finetune not in ("head_then_partial", "gradual"):
        return 1
    if config.finetune == "gradual":
        return depth * config.unfreeze_every + 1
    return config.head_epochs + 1


def full_depth_epoch(config: Strategy) -> int:
    """The first epoch in which all blocks that the trial names are trained."""
    return first_at(config, config.unfreeze_depth)


def depths(config: Strategy, epochs: int) -> tuple[int, ...]:
    """The depths that a trial of ``epochs`` epochs has, rising, each once."""
    reached = depth_at(config, epochs)
    if config.finetune == "gradual":
        return tuple(range(reached + 1))
    return tuple(sorted({depth_at(config, 1), reached}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfreezing:
    """A :class:`Strategy` without the rest of a trial."""

    finetune: str
    unfreeze_depth: int
    head_epochs: int
    unfreeze_every: int


def full_depth_of(values: Mapping[str, Value]) -> int:
    """:func:`full_depth_epoch` of a trial with these settings, all four named."""
    return full_depth_epoch(
        Unfreezing(
            finetune=str(values["finetune"]),
            unfreeze_depth=int(values["unfreeze_depth"]),
            head_epochs=int(values["head_epochs"]),
            unfreeze_every=int(values["unfreeze_every"]),
        )
    )
