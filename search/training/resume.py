"""A trial's checkpoints as ``fit`` uses them: what is kept, and where to go on.

A file that is damaged or of another trial is never used; the one before it is,
and that is said. When the best epoch's weights are gone while the trial is not,
the epochs up to there are trained again: the same numbers come out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from search.space.spec import Metric
from search.training.checkpoint import LASTS, Checkpoint, path_of, put_back, read, write
from search.training.faults import CheckpointUnusable
from search.training.optimiser import optimiser_tensors, restore_optimiser
from search.training.phases import depth_at
from search.training.report import EpochReport
from search.training.run import Run, enter
from search.training.trained import changed_names, trained_parameters


def best_epoch(curve: Sequence[EpochReport], objective: Metric, *, maximize: bool) -> int:
    """The epoch with the best objective; the earliest of equals."""
    values = [report.metrics[objective] for report in curve]
    return values.index(max(values) if maximize else min(values)) + 1


def save(run: Run, folder: Path, curve: Sequence[EpochReport], best: int) -> None:
    """Keep the trial as it is after the last epoch of ``curve``.

    The best is written first: a crash between the two repeats the epoch, which
    writes it again.

    Raises:
        OSError: If the disk is full or refuses.
    """
    changed = changed_names(run.staged, run.config, run.depth)
    common = Checkpoint(
        config=run.config,
        classes=run.staged.classes,
        weights_hash=run.weights_hash,
        data_hash=run.data_hash,
        epoch=len(curve),
        step=len(curve) * run.steps,
        curve=tuple(curve),
        best_epoch=best,
        tensors={name: run.staged.tensor(name).detach() for name in changed},
        optimiser={},
    )
    averages = {} if run.ema is None else run.ema.averages
    if best == len(curve):
        evaluated = {name: averages.get(name, own) for name, own in common.tensors.items()}
        write(folder, "best", replace(common, tensors=evaluated))
    moments = optimiser_tensors(run.optimiser, trained_parameters(run.staged, run.depth))
    write(folder, "last", replace(common, optimiser=moments, ema=averages))


def find(
    run: Run, folder: Path, objective: Metric, *, maximize: bool, note: Callable[[str], None]
) -> Checkpoint | None:
    """The checkpoint to go on from; None when the trial has to start again."""
    saved: Checkpoint | None = None
    for which in LASTS:
        try:
            saved = _own(run, read(folder, which))
            break
        except CheckpointUnusable as error:
            if path_of(folder, which).exists():
                note(f"a checkpoint is not used: {error}")
    if saved is None:
        return None
    try:
        best = _own(run, read(folder, "best"))
    except CheckpointUnusable as error:
        why = str(error)
    else:
        why = _not_the_best(best, saved, objective, maximize=maximize)
        if not why:
            return saved
    note(f"the weights of the best epoch are trained again from the start: {why}")
    return None


def _not_the_best(best: Checkpoint, saved: Checkpoint, objective: Metric, *, maximize: bool) -> str:
    """Why ``best`` cannot stay beside ``saved``; empty when it can.

    It is the best epoch up to ``saved``; or the one after, where the trial ended
    between writing the two. It carries its own curve, so it is the best by the
    objective of this run, whichever it was written under.
    """
    wanted = best_epoch(saved.curve, objective, maximize=maximize)
    if best.epoch not in (wanted, saved.epoch + 1):
        return f"epoch {wanted} was the best, the file has epoch {best.epoch}"
    own = best_epoch(best.curve, objective, maximize=maximize)
    if best.epoch != own:
        return f"the file has epoch {best.epoch}, by {objective} epoch {own} was the best"
    return ""


def restore(run: Run, saved: Checkpoint) -> None:
    """Put a trial back to where it was when ``saved`` was written."""
    put_back(run.staged, saved.tensors)
    for epoch in range(1, saved.epoch + 1):  # every phase, so that groups come in their order
        enter(run, epoch)
    parameters = trained_parameters(run.staged, run.depth)
    restore_optimiser(run.optimiser, parameters, saved.optimiser)
    if run.ema is not None:
        run.ema.restore(saved.ema)


def _own(run: Run, saved: Checkpoint) -> Checkpoint:
    """``saved`` if it is of this very trial.

    Raises:
        CheckpointUnusable: Naming what differs.
    """
    mine = {
        "config": run.config,
        "classes": run.staged.classes,
        "weights_hash": run.weights_hash,
        "data_hash": run.data_hash,
    }
    differ = [name for name, value in mine.items() if getattr(saved, name) != value]
    if differ:
        raise CheckpointUnusable(f"it is of another trial: {', '.join(differ)} differ")
    # Other tensors are shared with other trials: they must not be written to.
    depth = depth_at(run.config, saved.epoch)
    if set(saved.tensors) != set(changed_names(run.staged, run.config, depth)):
        raise CheckpointUnusable("it does not hold the trained tensors, and these alone")
    return saved
