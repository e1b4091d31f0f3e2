"""Fine-tuning of one trial: a generator of epoch reports.

Knows neither Ray nor Optuna. On a CPU the same trial gives the same curve to the
last bit, whether run twice or interrupted and continued: order, dropout and
stochastic depth come from (seed, epoch), views from (augmentation seed, image,
view number). The caller's global random state is left as it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.backbones.info import Preprocessing
from search.space.spec import Metric, PatienceSpec
from search.training import resume
from search.training.accumulate import backward
from search.training.config import TrialConfig
from search.training.draws import torch_seed
from search.training.faults import Diverged
from search.training.inputs import EVALUATION, TrialData
from search.training.memory import out_of_memory, peak_memory_mb, restart_peak
from search.training.mixing import Images, mix_of, mixed, mixes, shares_of
from search.training.multilabel import tuned_thresholds
from search.training.optimiser import set_lr, take_step
from search.training.patience import worn_out
from search.training.phases import full_depth_epoch
from search.training.predict import probabilities
from search.training.prefix import ComputedPrefix, PrefixFactory, stream
from search.training.probe_head import begin_as_probe
from search.training.remarks import remarks
from search.training.report import EpochReport
from search.training.run import Run, enter, start
from search.training.sampling import order
from search.training.schedule import batches, lr_factor
from search.training.single_values import images_at_once
from search.training.task_metrics import task_metrics
from search.training.trained import set_mode

Show: TypeAlias = Callable[[Sequence[EpochReport], NDArray[np.floating] | None], None]
_CHECK_EVERY = 50
"""Steps between looks at the loss on a GPU; each look waits for it."""


def fit(
    config: TrialConfig,
    *,
    data: TrialData,
    weights: Mapping[str, Tensor] | None,
    preprocessing: Preprocessing,
    weights_hash: str,
    classes: int,
    device: str = "cpu",
    folder: Path | None = None,
    objective: Metric = "balanced_accuracy",
    maximize: bool = True,
    prefix: PrefixFactory = ComputedPrefix,
    micro_batch: int | None = None,
    reported: int | None = None,
    patience: PatienceSpec | None = None,
    note: Callable[[str], None] = lambda _: None,
    show: Show = lambda _curve, _found: None,
) -> Iterator[EpochReport]:
    """Train a trial, epoch by epoch; nothing happens between two reports.

    Args:
        config: The trial.
        data: Images and labels of train and val.
        weights: Pretrained tensors by the library's names; None starts at random.
        preprocessing: Of those weights.
        weights_hash: Of those weights; a checkpoint of others is not used.
        classes: K, outputs of the head.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        folder: Of the trial's checkpoints; goes on after the last usable one.
            None keeps nothing.
        objective: Metric that picks the best epoch; the earliest wins a tie.
        maximize: Its direction.
        prefix: Gives what the frozen blocks put out; changes no result.
        micro_batch: Images that go through the trained blocks at once, >= 1, where
            ``config.at_once`` of them do not fit; their gradients are added up to
            those of the batch. Changes how the trial is computed, not which it is:
            its checkpoints are used whatever this was. ``accumulate.py`` says what
            differs. None, or no fewer than ``config.at_once``, changes nothing.
        reported: How many epochs the caller has already: those after it are
            yielded, from the checkpoint or by training; those up to it are not,
            even where they must be trained again. None yields what is new since
            the checkpoint.
        patience: When the trial ends itself before its last epoch; the last report then
            says why.
        note: Told, in a sentence, what a person should know.
        show: Shown all epochs after each, before its checkpoint is on disk, and what the
            model said of the validation images where it is the best so far, else None.

    Yields:
        One report per epoch, in order, after its checkpoint is on disk.

    Raises:
        Diverged: At the first loss or output that is not finite.
        OutOfMemory: If the device or the host has no room.
        SingleValues: Before the first step, if batches of one image cannot be trained.
        OSError: If a checkpoint cannot be written.
    """
    with _faults():
        restart_peak(torch.device(device))
        run = start(
            config,
            data=data,
            weights=weights,
            preprocessing=preprocessing,
            weights_hash=weights_hash,
            classes=classes,
            device=device,
            prefix=prefix,
        )
        at_once = images_at_once(run, micro_batch)
        for remark in remarks(run, at_once):
            note(remark)
        saved = None
        if folder is not None:
            saved = resume.find(run, folder, objective, maximize=maximize, note=note)
        if saved is not None:
            resume.restore(run, saved)
        elif config.head_init == "probe":
            note(begin_as_probe(run))
    curve = [] if saved is None else list(saved.curve)

    def end() -> str:
        """Why the trial ends after the last epoch of the curve; empty where it goes on."""
        if patience is None or not curve or len(curve) == config.epochs:
            return ""
        full = full_depth_epoch(config)
        return worn_out(curve, patience, objective=objective, maximize=maximize, full_depth=full)

    why = end()
    for report in curve if reported is not None else ():
        if report.epoch > (reported or 0):
            yield replace(report, stopped_early=why) if report.epoch == len(curve) else report
    for epoch in range(len(curve) + 1, config.epochs + 1):
        if why:
            return
        with _faults():
            report = _epoch(run, epoch, at_once)
            curve.append(report)
            best = resume.best_epoch(curve, objective, maximize=maximize)
            show(curve, run.found if best == epoch else None)
            if folder is not None:
                resume.save(run, folder, curve, best)
        why = end()
        if epoch > (reported or 0):
            yield replace(report, stopped_early=why)


def _epoch(run: Run, epoch: int, micro_batch: int) -> EpochReport:
    config = run.config
    began = time.perf_counter()
    enter(run, epoch)
    with _own_randomness(run.device, torch_seed(config.seed, epoch)):
        train_loss = _train(run, epoch, micro_batch)
    trained = time.perf_counter()
    set_mode(run.staged, config, run.depth, training=False)
    if run.frozen == 0:  # of frozen blocks, features may be at hand: no image is looked at
        run.data.val.expect(np.arange(len(run.data.val)))
    with nullcontext() if run.ema is None else run.ema.in_place():
        found_NK = probabilities(
            run.staged,
            lambda chosen: run.prefix("val", chosen, EVALUATION),
            len(run.data.val),
            start=run.frozen,
            device=run.device,
            readout=run.data.readout,
        )
    run.found = found_NK
    if not math.isfinite(float(found_NK.sum())):
        raise Diverged(f"epoch {epoch}: the model's output is not finite")
    task, targets = run.data.readout.task, run.data.val.labels
    parameters = list(run.staged.parameters())
    return EpochReport(
        epoch=epoch,
        metrics=task_metrics(task, found_NK, targets),
        train_loss=train_loss,
        seconds=time.perf_counter() - began,
        images_per_second=len(run.data.train) / (trained - began),
        peak_memory_mb=peak_memory_mb(run.device),
        parameters_trained=sum(p.numel() for p in parameters if p.requires_grad),
        parameters_total=sum(p.numel() for p in parameters),
        thresholds=tuned_thresholds(found_NK, targets) if task == "multilabel" else (),
    )


def _train(run: Run, epoch: int, micro_batch: int) -> float:
    """One pass over the train part; the mean loss over its batches."""
    config, staged = run.config, run.staged
    set_mode(staged, config, run.depth, training=True)
    images = len(run.data.train)
    total = torch.zeros((), dtype=torch.float64, device=run.device)
    number = (epoch - 1) % config.views
    mixing = mixes(config)
    features = stream(
        Images(run.data, run.geometry, run.device) if mixing else run.prefix,
        run.data.train,
        order(run.balance, config.seed, epoch, run.data.train.labels),
        batches(images, config.batch_size),
        number,
    )
    look = 1 if run.device.type == "cpu" else _CHECK_EVERY
    for done, (chosen, inputs) in enumerate(features):
        step = (epoch - 1) * run.steps + done
        set_lr(run.optimiser, lr_factor(config, step, steps_in_epoch=run.steps))
        targets = run.labels[torch.from_numpy(chosen).to(run.device)]
        if mixing:
            mix = mix_of(config, epoch=epoch, step=done, size=config.image_size)
            inputs, targets = mixed(inputs, shares_of(targets, staged.classes), mix)
        total += backward(
            staged,
            inputs,
            targets,
            start=0 if mixing else run.frozen,
            loss=run.loss,
            micro_batch=micro_batch,
        )
        if (done + 1) % look == 0 or done + 1 == run.steps:
            _check(float(total), epoch, done)
        take_step(run.optimiser, clip_norm=config.clip_norm)
        if run.ema is not None:
            run.ema.update(step + 1)
    return float(total) / run.steps


def _check(loss: float, epoch: int, number: int) -> None:
    if not math.isfinite(loss):
        raise Diverged(f"epoch {epoch}, step {number + 1}: the training loss is not finite")


@contextmanager
def _own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def _faults() -> Iterator[None]:
    """Memory errors of torch and Python as ours."""
    try:
        yield
    except Exception as error:
        short = out_of_memory(error)
        if short is None or short is error:
            raise
        raise short from error
