"""A worker that trains hundreds of trials neither grows nor keeps files open."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.backbones.catalogue import CATALOGUE
from search.data.cache import entries
from search.data.manifest import save_table
from search.data.prepare import prepare
from search.space.spec import DataSpec
from search.tuning.job import PreparedBackbone, TrialJob
from search.tuning.worker import Worker
from tests.unit.training.tiny import CONFIG as TINY

WARM = 50
GROWTH = 6 * 2**20
"""Bytes; of 200 trials, each that left its head or one batch behind would show 150 times."""

CONFIG = replace(TINY, unfreeze_depth=0, views=2, epochs=2)


def anonymous() -> int:
    """Bytes of memory that no file stands behind."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Anonymous:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def make_job(folder: Path) -> TrialJob:
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / "images" / label).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / label / f"{number}.png")
    data = DataSpec(path=str(folder / "images"))
    table = prepare(
        data, base=folder, cache=folder / "cache", progress=lambda what, done, total: None
    ).table
    save_table(table, folder / "table.json")
    return TrialJob(
        table=str(folder / "table.json"),
        trials=str(folder / "trials"),
        cache=str(folder / "cache"),
        cache_bytes=10**9,
        boundaries=(3, 4, 5),
        run="r",
        backbones=(
            PreparedBackbone(
                name=CONFIG.backbone,
                weights=None,
                sha256="random:0",
                preprocessing=CATALOGUE[CONFIG.backbone].preprocessing,
            ),
        ),
        objective="balanced_accuracy",
        maximize=True,
        threads=1,
        device="cpu",
    )


@pytest.mark.slow
@pytest.mark.parametrize("trials", [80, pytest.param(200, marks=pytest.mark.thorough)])
def test_neither_memory_nor_open_files_grow_from_trial_to_trial(
    trials: int, tmp_path: Path
) -> None:
    worker = Worker(make_job(tmp_path))
    sizes, files = [], []
    for number in range(trials):
        # Boundaries in turn, and now and then views that nobody has stored yet.
        config = replace(
            CONFIG,
            unfreeze_depth=number % 3,
            seed=number,
            augmentation_seed=number // 10,
        )
        folder = tmp_path / "trials" / f"{number:05d}"
        assert len(list(worker.train(config, folder, reported=0))) == CONFIG.epochs
        worker.reset()
        sizes.append(anonymous())
        files.append(open_files())
    stored = [entry for entry in entries(tmp_path / "cache") if entry.kind == "activations"]
    assert stored
    assert max(files[WARM:]) <= max(files[:WARM])
    grown = max(sizes[-10:]) - max(sizes[WARM - 10 : WARM])
    assert grown < GROWTH, f"{grown / 2**20:.1f} MB more after {trials} trials than after {WARM}"
