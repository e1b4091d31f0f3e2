"""What a worker process keeps between trials, and how it trains one.

Loaded once per process: the image table, the mapped decoded images (or the
threads that decode them, where they have no room), and the pretrained tensors of
the backbones it has met (the most recent few). Knows the rooms below ``tuning``
but not ray, so that it can be run and tested alone.
"""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from search.backbones.availability import Located
from search.backbones.weights import load_state
from search.data.cache import Room, default_budget, hold
from search.data.images import DecodedForm
from search.data.store import BadStore, decoded_side, open_decoded
from search.data.streamed import StreamedImages, stored_or_streamed
from search.data.targets import targets_of
from search.training.config import TrialConfig
from search.training.fit import fit
from search.training.inputs import Pixels, TrialData, trial_data
from search.training.report import EpochReport
from search.training.reset import reset
from search.training.resident import resident
from search.training.sampling import Balance, balance_of, class_counts
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Decision, Worth
from search.tuning.job import TrialJob
from search.tuning.node import at_home, table_of
from search.tuning.shown import Showing

_KEPT_BACKBONES = 2
"""Pretrained tensors stay in memory for this many backbones."""


class Worker:
    """Trains trials of one study, one after another."""

    def __init__(self, job: TrialJob) -> None:
        self._job = job = at_home(job, env=os.environ)
        self._table = table_of(job)
        self._states: OrderedDict[str, Mapping[str, Tensor] | None] = OrderedDict()
        self._streamed: StreamedImages | None = None
        self._form: DecodedForm | None = None
        self._resident: Tensor | None = None
        """The images of this form on the GPU, where they fit."""
        cache = Path(job.cache)
        budget = default_budget(cache) if job.cache_bytes is None else job.cache_bytes
        self._store = StoreSettings(
            cache=cache,
            room=Room(cache, budget),
            boundaries=frozenset(job.boundaries),
            worth=Worth(),
        )
        # Weights of later trials are not cleared from the cache meanwhile.
        self._held = list(_held(each.weights for each in job.backbones))
        reset(threads=job.threads)
        # What the imports left is not looked through again after every trial.
        gc.collect()
        gc.freeze()

    def reset(self) -> None:
        """Put the process back between two trials.

        Raises:
            RuntimeError: If something of the last trial cannot be put back.
        """
        kept = 0 if self._resident is None else self._resident.nbytes
        wrong = reset(threads=self._job.threads, kept=kept)
        if wrong:
            raise RuntimeError("; ".join(wrong))

    def train(
        self,
        config: TrialConfig,
        folder: Path,
        *,
        reported: int,
        micro_batch: int | None = None,
        note: Callable[[str], None] = lambda _: None,
        store_note: Callable[[str], None] = lambda _: None,
    ) -> Iterator[EpochReport]:
        """Epoch reports of a trial, after the ``reported`` ones.

        Args:
            config: The trial.
            folder: Of its checkpoints; made if needed.
            reported: Epochs that the study has already.
            micro_batch: Images at once; None takes the whole batch.
            note: Told what a person should know of the trial.
            store_note: Told what a person should know of stored images and features.
        """
        backbone = self._job.backbone(config.backbone)
        data = self._data(config, backbone.preprocessing.interpolation, store_note)
        yield from fit(
            config,
            data=data,
            weights=self._state(config.backbone),
            preprocessing=backbone.preprocessing,
            weights_hash=backbone.sha256,
            classes=self._table.outputs,
            device=self._device(),
            folder=folder,
            objective=self._job.objective,
            maximize=self._job.maximize,
            micro_batch=micro_batch,
            reported=reported,
            patience=self._job.patience,
            prefix=partial(StoredPrefix, settings=self._store, note=store_note),
            note=note,
            show=Showing(
                folder,
                self._table.task,
                data.val.labels,
                [row.path for row in self._table.part("val")],
                note,
            ),
        )

    def decisions(self) -> tuple[Decision, ...]:
        """What was decided of storing frozen blocks' output, since this was last asked."""
        return self._store.worth.decisions()

    def balance(self, config: TrialConfig) -> Balance | None:
        """What ``class_imbalance: auto`` comes to; None where nothing was left to it."""
        table = self._table
        if config.class_imbalance != "auto" or table.task == "regression":
            return None
        labels = targets_of(table, table.part("train"))
        return balance_of(table.task, "auto", class_counts(labels, len(table.classes)))

    def _data(
        self, config: TrialConfig, interpolation: str, note: Callable[[str], None]
    ) -> TrialData:
        form = DecodedForm(side=decoded_side(config.image_size), interpolation=interpolation)
        images = self._images(form, note)
        if form != self._form:
            self._form, self._resident = form, None  # room for the next before it comes
            if self._device() == "cuda":
                free, _ = torch.cuda.mem_get_info()
                self._resident = resident(images, torch.device("cuda"), free=free)
        return trial_data(self._table, images, resident=self._resident)

    def _images(self, form: DecodedForm, note: Callable[[str], None]) -> Pixels:
        if self._streamed is not None and self._streamed.form == form:
            return self._streamed  # its threads are there, and go on
        cache = Path(self._job.cache)
        if form not in self._job.streamed:
            with suppress(BadStore):  # evicted, or this node has none of this size yet
                return open_decoded(
                    self._table, side=form.side, interpolation=form.interpolation, cache=cache
                ).images
        images = stored_or_streamed(
            self._table,
            form,
            streamed=self._job.streamed,
            cache=cache,
            progress=lambda what, done, total: None,
            workers=self._job.threads,
            note=note,
        )
        if isinstance(images, StreamedImages):
            self._streamed = images
        return images

    def _state(self, name: str) -> Mapping[str, Tensor] | None:
        if name not in self._states:
            prepared = self._job.backbone(name)
            state = load_state(
                Located(
                    name=name,
                    path=None if prepared.weights is None else Path(prepared.weights),
                    sha256=prepared.sha256 if prepared.weights is not None else "",
                    preprocessing=prepared.preprocessing,
                )
            )
            self._states[name] = None if state is None else _laid_out(state)
        self._states.move_to_end(name)
        while len(self._states) > _KEPT_BACKBONES:
            self._states.popitem(last=False)
        return self._states[name]

    def _device(self) -> str:
        if self._job.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("Ray gave this trial a GPU that torch cannot use")
        return self._job.device


def _held(paths: Iterable[str | None]) -> Iterator[BinaryIO]:
    for path in paths:
        if path is not None:
            with suppress(OSError):  # not on this node: said when a trial needs it
                yield hold(Path(path))


def _laid_out(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as convolutions read them, so that trials share them as they are."""
    return {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in state.items()
    }
