"""Tiny trials: three classes of 32-pixel noise, told apart by a darkened half."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.backbones.catalogue import CATALOGUE
from search.training.config import TrialConfig
from search.training.fit import fit
from search.training.inputs import Examples, TrialData
from search.training.report import EpochReport
from search.training.worth import Worth
from tests.unit.training.frozen import Store
from tests.unit.training.tiny import CONFIG

Point = tuple[int, float, tuple[float, ...]]


STILL: dict[str, Any] = {
    "lr": 0.0,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "augmentation": "none",
    "views": 1,
    "unfreeze_depth": 0,
    "epochs": 1,
    "batch_size": 64,
}
"""One batch, nothing drawn, a rate of 0: the loss is that of the random head, which val sees
as it is, so that its probabilities can be computed from."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _short_verdicts() -> Iterator[None]:
    """Reading a few kB is measured in less time than a segment of a study."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Worth, "SECONDS", 0.05)
        yield


def make_data(train: int = 26, val: int = 20, size: int = 32) -> TrialData:
    """Labels are 0, 1, 2 in turn; the darkened half of the image tells which."""
    random = np.random.default_rng(0)
    count, side = train + val, round(1.25 * size)
    labels = np.arange(count, dtype=np.int64) % 3
    images = random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    images[labels == 1, :, : side // 2] //= 2
    images[labels == 2, : side // 2] //= 2
    keys = random.integers(0, 2**63, count).astype(np.uint64)

    def part(rows: Any) -> Examples:
        return Examples(images=images, rows=rows, labels=labels[rows], keys=keys[rows])

    return TrialData(train=part(np.arange(train)), val=part(np.arange(train, count)))


@pytest.fixture
def data() -> TrialData:
    return make_data()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def config() -> TrialConfig:
    return CONFIG


@pytest.fixture
def curve() -> Callable[..., list[Point]]:
    """Trains, stopping after ``stop`` epochs; gives what must not change by a bit."""

    def run(
        config: TrialConfig,
        folder: Path | None = None,
        *,
        stop: int | None = None,
        **arguments: Any,
    ) -> list[Point]:
        given = {
            "data": make_data(size=config.image_size),
            "weights": None,
            "weights_hash": "random:0",
            "classes": 3,
            "preprocessing": CATALOGUE[config.backbone].preprocessing,
        }
        reports = fit(config, folder=folder, **(given | arguments))
        points = []
        for report in reports:
            points.append(point_of(report))
            if report.epoch == stop:
                reports.close()
                break
        return points

    return run


def point_of(report: EpochReport) -> Point:
    return report.epoch, report.train_loss, tuple(report.metrics.values())


@pytest.fixture
def other() -> Callable[..., TrialConfig]:
    """The tiny trial with other settings."""

    def changed(**settings: Any) -> TrialConfig:
        return replace(CONFIG, **settings)

    return changed
