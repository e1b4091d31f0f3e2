"""Which tensors a trial changes, and in which mode its blocks run.

Batch-norm statistics belong to their block. Those of a trained block move: it
normalises by the batch. Those of a frozen block do not, and it normalises by them,
unless ``batch_norm: train`` lets them move too; weight and bias of the layer stay
frozen with their block either way.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.backbones.stages import BLOCKS, HEAD, Staged
from search.training.config import TrialConfig


def trained_parameters(staged: Staged, depth: int) -> dict[str, nn.Parameter]:
    """The parameters that learn, by the library's names, head last."""
    named = ((name, staged.tensor(name)) for name in trained_names(staged, depth))
    return {name: tensor for name, tensor in named if isinstance(tensor, nn.Parameter)}


def trained_names(staged: Staged, depth: int) -> tuple[str, ...]:
    """Names in ``model.state_dict()`` that training changes, buffers included."""
    trained = {block.name for block in staged.trained_blocks(depth)} | {HEAD}
    return tuple(name for name, owner in staged.owners().items() if owner in trained)


def changed_names(staged: Staged, config: TrialConfig, depth: int) -> tuple[str, ...]:
    """The same, and the statistics of frozen blocks where they move."""
    changed = {*trained_names(staged, depth)}
    if config.batch_norm == "train":
        owners = {module: name for name, module in staged.model.named_modules()}
        changed |= {
            f"{owners[module]}.{name}"
            for module in _normalising(staged, len(BLOCKS) - depth)
            for name, _ in module.named_buffers()
        }
    return tuple(name for name in staged.owners() if name in changed)


def moves_frozen(staged: Staged, config: TrialConfig, depth: int) -> bool:
    """Whether what the frozen blocks put out changes while the trial is trained."""
    return config.batch_norm == "train" and any(_normalising(staged, len(BLOCKS) - depth))


def set_mode(staged: Staged, config: TrialConfig, depth: int, *, training: bool) -> None:
    """Freeze all but the head and the last ``depth`` blocks, as ``Staged.set_mode``; let
    statistics of the frozen ones move, in training, where they are to."""
    staged.set_mode(depth, training)
    if config.batch_norm == "train":
        for module in _normalising(staged, len(BLOCKS) - depth):
            module.training = training


def _normalising(staged: Staged, blocks: int) -> Iterator[_BatchNorm]:
    """The batch-norm layers of the first ``blocks`` blocks."""
    for block in staged.blocks[:blocks]:
        for module in block.modules():
            if isinstance(module, _BatchNorm):
                yield module
