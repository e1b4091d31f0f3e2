"""Our side of a trial without Ray, and the bare arithmetic under it. See alone.py."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
import work

from search.backbones.availability import locate
from search.backbones.download import weights_hash
from search.backbones.stages import BLOCKS, build
from search.backbones.weights import load_state
from search.data.manifest import load_table, save_table
from search.data.prepare import prepare
from search.data.store import decoded_side, open_decoded
from search.space.spec import DataSpec, WeightsSpec
from search.training.checkpoint import assemble, load_trained
from search.training.config import TrialConfig
from search.training.metrics import metrics
from search.training.optimiser import optimiser
from search.training.predict import predict_probabilities, suffix_logits
from search.training.prefix import run_frozen
from search.tuning.job import PreparedBackbone, TrialJob
from search.tuning.worker import Worker


def cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def timed(function: Callable[[], Any]) -> float:
    began = cpu()
    function()
    return cpu() - began


class Ours:
    """A worker on a folder of images, with its own cache."""

    def __init__(
        self, images: Path, scratch: Path, epochs: int, image_size: int, *, views: int = 0
    ) -> None:
        self._scratch, self._epochs, self._size = scratch, epochs, image_size
        self._views = views or epochs
        self._cache = scratch / "cache"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        table = prepare(
            DataSpec(path=str(images)), base=Path(), cache=self._cache, progress=lambda *_: None
        ).table
        save_table(table, scratch / "images.json")
        located = locate(work.BACKBONE, WeightsSpec(), self._cache)
        self._job = TrialJob(
            table=str(scratch / "images.json"),
            trials=str(scratch / "trials"),
            cache=str(self._cache),
            cache_bytes=None,
            boundaries=(3, 4, 5),
            run="bench",
            backbones=(
                PreparedBackbone(
                    name=work.BACKBONE,
                    weights=str(located.path),
                    sha256=weights_hash(located),
                    preprocessing=located.preprocessing,
                ),
            ),
            objective="balanced_accuracy",
            maximize=True,
            threads=1,
            device="cpu",
        )
        self._worker = Worker(self._job)
        self._number = 0

    def train(self, trial: work.Trial) -> list[Any]:
        self._number += 1
        config = TrialConfig(
            backbone=work.BACKBONE, image_size=self._size, unfreeze_depth=trial.depth,
            lr=trial.lr, backbone_lr_scale=trial.scale, dropout=trial.dropout,
            weight_decay=trial.weight_decay, label_smoothing=0.0, warmup=0.1,
            augmentation="light", views=self._views, batch_size=32, epochs=self._epochs,
            seed=self._number, augmentation_seed=0,
        )  # fmt: skip
        folder = self._scratch / "trials" / str(self._number)
        return list(self._worker.train(config, folder, reported=0))

    def reset(self) -> None:
        """Between two trials. What other sides left in this process is not ours to pay for."""
        self._worker.reset()

    def test(self) -> float:
        """Balanced accuracy of the last trial's best epoch on the test part."""
        table = load_table(Path(self._job.table))
        checkpoint = load_trained(self._scratch / "trials" / str(self._number))
        backbone = self._job.backbones[0]
        staged = assemble(
            checkpoint,
            load_state(locate(work.BACKBONE, WeightsSpec(), self._cache)),
            weights_hash=backbone.sha256,
        ).to(memory_format=torch.channels_last)
        decoded = open_decoded(
            table,
            side=decoded_side(self._size),
            interpolation=backbone.preprocessing.interpolation,
            cache=self._cache,
        )
        rows = decoded.indices("test")
        found = predict_probabilities(
            staged,
            decoded.images,
            preprocessing=backbone.preprocessing,
            image_size=self._size,
            rows=rows,
        )
        return metrics(found, decoded.labels[rows])["balanced_accuracy"]

    def forget(self) -> None:
        """Empty what was computed: images and activations."""
        for name in ("decoded", "activations"):
            shutil.rmtree(self._cache / name, ignore_errors=True)
        self._worker = Worker(self._job)


def suffix_alone(depth: int, size: int, images: int) -> float:
    """Images a second of the trained blocks' forward, backward and step, data in memory."""
    torch.manual_seed(0)
    located = locate(work.BACKBONE, WeightsSpec(), Path())
    staged = build(
        work.BACKBONE, classes=2, image_size=size, dropout=0.2, state=load_state(located), seed=0
    ).to(memory_format=torch.channels_last)
    staged.set_mode(depth, training=True)
    frozen = len(BLOCKS) - depth
    pixels = torch.randn(32, 3, size, size).contiguous(memory_format=torch.channels_last)
    features = run_frozen(staged, pixels, frozen)
    labels = torch.randint(0, 2, (32,))
    config = TrialConfig(
        backbone=work.BACKBONE, image_size=size, unfreeze_depth=depth, lr=1e-3,
        backbone_lr_scale=0.1, dropout=0.2, weight_decay=1e-2, label_smoothing=0.0, warmup=0.1,
        augmentation="light", views=1, batch_size=32, epochs=1, seed=0, augmentation_seed=0,
    )  # fmt: skip
    adamw = optimiser(staged, config)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(suffix_logits(staged, features, frozen), labels)
        adamw.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adamw.step()

    step()
    began = time.perf_counter()
    for _ in range(max(1, images // 32)):
        step()
    return max(1, images // 32) * 32 / (time.perf_counter() - began)
