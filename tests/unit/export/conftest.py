"""A tiny real study: image files in three classes, and a trained checkpoint."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search.data.images import ImageRow, ImageTable, Part
from search.export.contents import CARD_FILE, INFO_FILE, WEIGHTS_FILE
from search.export.trial import Candidate, Origin, export_trial
from search.space.spec import METRICS_OF, WeightsSpec
from search.training.config import TrialConfig, trial_config

CLASSES = ("blue", "green", "red")
SIZE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _write_images(root: Path) -> ImageTable:
    """Noisy colour patches, 12 train, 9 val and 15 test files, of many shapes and formats."""
    rng = np.random.default_rng(0)
    counts: dict[Part, int] = {"train": 4, "val": 3, "test": 5}
    rows = []
    for label, name in enumerate(CLASSES):
        for part, count in counts.items():
            for number in range(count):
                ending = ("png", "jpg", "webp")[number % 3]
                path = f"{name}/{part}-{number}.{ending}"
                (root / name).mkdir(parents=True, exist_ok=True)
                width, height = rng.integers(30, 90, size=2)
                pixels = rng.integers(0, 160, size=(height, width, 3))
                pixels[:, :, 2 - label] += 80
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(root / path)
                digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
                rows.append(ImageRow(path=path, label=label, part=part, sha256=digest))
    rows.sort(key=lambda row: row.path)
    return ImageTable(
        root=root.resolve(),
        classes=CLASSES,
        rows=tuple(rows),
        fingerprint="f" * 64,
        licence="CC0, drawn by a test",
    )


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> ImageTable:
    return _write_images(tmp_path_factory.mktemp("images"))


def origin_of(table: ImageTable, cache: Path, weights: WeightsSpec | None = None) -> Origin:
    return Origin(
        study="colours",
        objective="balanced_accuracy",
        table=table,
        weights=weights or WeightsSpec(source="random"),
        cache=cache,
        versions={"torch": "2", "finetune-search": "0"},
    )


@pytest.fixture
def origin(table: ImageTable, tmp_path: Path) -> Origin:
    return origin_of(table, tmp_path / "cache")


@pytest.fixture(scope="session")
def exported(
    table: ImageTable, candidate: Candidate, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The candidate's export; not to be changed."""
    root = tmp_path_factory.mktemp("exported")
    return export_trial(origin_of(table, root / "cache"), candidate, root / "export")


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """An export that a test may spoil: replace ``model.safetensors``, do not write into it."""
    copy = tmp_path / "export"
    copy.mkdir()
    (copy / WEIGHTS_FILE).hardlink_to(exported / WEIGHTS_FILE)
    for name in (INFO_FILE, CARD_FILE):
        shutil.copy(exported / name, copy / name)
    return copy


def config(
    backbone: str = "resnet18", *, seed: int = 3, depth: int = 1, lr: float = 1e-3
) -> TrialConfig:
    point = {
        "backbone": backbone,
        "image_size": SIZE,
        "unfreeze_depth": depth,
        "lr": lr,
        "batch_size": 4,
        "augmentation": "none",
    }
    return trial_config(point, own_size={}, epochs=2, seed=seed, augmentation_seed=0)


def train(
    table: ImageTable, trial: TrialConfig, number: int, folder: Path, weights: WeightsSpec
) -> Candidate:
    """A trial through the real ``fit``, and its checkpoints."""
    from search.backbones.availability import Located, locate
    from search.backbones.download import weights_hash
    from search.backbones.weights import load_state
    from search.data.store import decoded_side
    from search.export.pixels import squares
    from search.training.fit import fit
    from search.training.inputs import trial_data

    located = locate(trial.backbone, weights, folder)
    assert isinstance(located, Located)
    files = [table.absolute(row) for row in table.rows]
    (decoded,) = squares(
        files,
        side=decoded_side(trial.image_size),
        interpolation=located.preprocessing.interpolation,
        progress=lambda _: None,
    )
    for _ in fit(
        trial,
        data=trial_data(table, decoded.images),
        weights=load_state(located),
        preprocessing=located.preprocessing,
        weights_hash=weights_hash(located),
        classes=table.outputs,
        folder=folder,
        objective=METRICS_OF[table.task][0],
        maximize=table.task != "regression",
    ):
        pass
    params = {"backbone": trial.backbone, "unfreeze_depth": trial.unfreeze_depth, "lr": trial.lr}
    return Candidate(number=number, params=params, checkpoints=folder)


@pytest.fixture(scope="session")
def candidate(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """A random resnet18, two epochs."""
    folder = tmp_path_factory.mktemp("trials") / "00004"
    return train(table, config(), 4, folder, WeightsSpec(source="random"))
