"""Data sets as folders of images: ``images/PART/CLASS/NAME.png``, the same for every side."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import work
from numpy.typing import NDArray

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's dataset-fashion-mnist puts them."""
GARMENTS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "boot",
)  # fmt: skip


def solar(folder: Path, seed: int) -> None:
    """Photographs of solar cells: 600, 200 and 400 images of two unbalanced classes."""
    work.solar_cells(folder, train=600, val=200, test=400, seed=seed)


def fashion(folder: Path, seed: int) -> None:
    """28-pixel garments: 40 and 15 images of each of ten classes, 50 for the test.

    Raises:
        FileNotFoundError: If the package is not installed.
    """
    with gzip.open(FASHION / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), dtype=np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(FASHION / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), dtype=np.uint8, offset=8)
    _write(folder, pixels, labels, GARMENTS, (40, 15, 50), seed)


def digits(folder: Path, seed: int) -> None:
    """Hand-written digits of 8 pixels: 30 and 15 images of each, 60 for the test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * (255 / 16)).astype(np.uint8)
    names = tuple(f"digit-{number}" for number in range(10))
    _write(folder, pixels, found.target, names, (30, 15, 60), seed)


def _write(
    folder: Path,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.integer],
    names: tuple[str, ...],
    counts: tuple[int, int, int],
    seed: int,
) -> None:
    from PIL import Image

    random_ = random.Random(seed)
    for label, name in enumerate(names):
        rows = np.flatnonzero(labels == label).tolist()
        random_.shuffle(rows)
        start = 0
        for part, count in zip(("train", "val", "test"), counts, strict=True):
            place = folder / "images" / part / name
            place.mkdir(parents=True)
            for row in rows[start : start + count]:
                Image.fromarray(pixels[row]).save(place / f"{row:05d}.png")
            start += count
