"""What a person should know of a trial before its first step, a sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from search.backbones.stages import BLOCKS
from search.training.accumulate import sees_parts
from search.training.mixing import mixes
from search.training.phases import depth_at
from search.training.run import Run, boundary_at
from search.training.sampling import class_counts, said
from search.training.single_values import no_spread
from search.training.stochastic_depth import has_stochastic_depth
from search.training.trained import moves_frozen


def remarks(run: Run, at_once: int) -> Iterator[str]:
    """What is not as its settings alone say, and what it costs.

    Args:
        run: Set up for its first epoch.
        at_once: Images that go through its trained blocks together.
    """
    config = run.config
    last = boundary_at(run.staged, config, depth_at(config, config.epochs))
    if at_once < config.at_once and sees_parts(run.staged, last):
        yield (
            f"its batch-norm layers see {at_once} images at once, not {config.at_once}: "
            "its result may differ from that of whole batches"
        )
    if at_once > config.at_once:
        yield f"micro_batch is 1, and {no_spread(run)}: {at_once} images go through at once"
    moves = moves_frozen(run.staged, config, run.depth)
    if moves:
        yield (
            "batch_norm: train moves the statistics of its frozen blocks: "
            "what they put out is computed in every epoch, and not stored"
        )
    if mixes(config) and run.depth < len(BLOCKS):
        text = "mixup and cutmix mix pixels: its frozen blocks compute every training batch"
        yield text if moves else f"{text}; what is stored of them serves evaluation alone"
    if config.stochastic_depth >= 0 and not has_stochastic_depth(run.staged):
        yield f"stochastic_depth does nothing: {config.backbone} has none"
    task = run.data.readout.task
    if task != "regression":
        counts_K = class_counts(run.data.train.labels, run.staged.classes)
        if chose := said(task, config.class_imbalance, counts_K):
            yield chose
