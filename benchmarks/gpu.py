"""How close training comes to the card: images a second, trials an hour, memory.

Random weights and random images: speed depends on neither. Part of `make gpu`.

    python benchmarks/gpu.py --device cuda --backbones resnet50 convnext_tiny vit_b_16
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search.backbones.catalogue import CATALOGUE
from search.backbones.stages import BLOCKS, build
from search.data.cache import Room
from search.training.config import TrialConfig
from search.training.fit import fit
from search.training.inputs import Examples, TrialData
from search.training.prefix import chunk_size, precision
from search.training.report import EpochReport
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth


def pictures(train: int, val: int, size: int) -> TrialData:
    """Noise, as decoded images."""
    random = np.random.default_rng(0)
    count, side = train + val, round(1.25 * size)
    images = random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 10
    keys = random.integers(0, 2**63, count).astype(np.uint64)

    def part(rows: np.ndarray[Any, np.dtype[np.int64]]) -> Examples:
        return Examples(images=images, rows=rows, labels=labels[rows], keys=keys[rows])

    return TrialData(train=part(np.arange(train)), val=part(np.arange(train, count)))


def forward_alone(name: str, size: int, device: torch.device, images: int) -> float:
    """Images a second of the bare forward pass, data on the device."""
    staged = build(name, classes=10, image_size=size, dropout=0.0, state=None, seed=0)
    staged.to(device, memory_format=torch.channels_last)
    batch = torch.randn(chunk_size(device), 3, size, size, device=device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    rounds = max(1, images // len(batch))

    def passes(count: int) -> None:
        with torch.no_grad(), precision(device):
            for _ in range(count):
                staged(batch)
        _wait(device)

    passes(min(2, rounds))
    began = time.perf_counter()
    passes(rounds)
    return rounds * len(batch) / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backbones", nargs="+", default=["resnet50", "convnext_tiny", "vit_b_16"])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=0, help="0: each backbone's own")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{card}, torch {torch.__version__}, {arguments.images} images")
    print(
        "| backbone | depth | images/s | forward pass alone | trials an hour | peak MB |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    rows = []
    for name in arguments.backbones:
        size = arguments.image_size or CATALOGUE[name].size.default
        data = pictures(arguments.images, arguments.images // 8, size)
        alone = forward_alone(name, size, device, arguments.images)
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder)
            settings = StoreSettings(
                cache=cache,
                room=Room(cache, 40 * 10**9),
                boundaries=frozenset({4, 5}),
                worth=Worth(),
            )
            config = TrialConfig(
                backbone=name, image_size=size, unfreeze_depth=0, lr=1e-3,
                backbone_lr_scale=0.1, dropout=0.2, weight_decay=1e-2, label_smoothing=0.0,
                warmup=0.1, augmentation="light", views=arguments.epochs, batch_size=128,
                epochs=arguments.epochs, seed=0, augmentation_seed=0,
            )  # fmt: skip

            def train(
                config: TrialConfig, data: TrialData = data, settings: StoreSettings = settings
            ) -> list[EpochReport]:
                return list(
                    fit(
                        config,
                        data=data,
                        weights=None,
                        preprocessing=CATALOGUE[config.backbone].preprocessing,
                        weights_hash="random:0",
                        classes=10,
                        device=arguments.device,
                        prefix=partial(StoredPrefix, settings=settings, note=lambda _: None),
                    )
                )

            for label, depth in (
                ("0, cold", 0),
                ("0", 0),
                ("1", 1),
                (str(len(BLOCKS)), len(BLOCKS)),
            ):
                began = time.perf_counter()
                reports = train(replace(config, unfreeze_depth=depth))
                took = time.perf_counter() - began
                row = {
                    "backbone": name,
                    "depth": label,
                    "images_per_second": reports[-1].images_per_second,
                    "forward_alone": alone,
                    "trials_per_hour": 3600 / took,
                    "peak_mb": max(report.peak_memory_mb for report in reports),
                }
                rows.append(row)
                print(
                    f"| {name} | {label} | {row['images_per_second']:.0f} | {alone:.0f} | "
                    f"{row['trials_per_hour']:.0f} | {row['peak_mb']:.0f} |",
                    flush=True,
                )
    print(json.dumps({"card": card, "rows": rows}))


if __name__ == "__main__":
    main()
