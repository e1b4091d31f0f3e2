"""Small picture files for the tests of this room."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from PIL import Image

Pictures: TypeAlias = Callable[[str, int], list[Path]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for data."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder that does not exist yet."""
    return tmp_path / "cache"


@pytest.fixture
def pictures(folder: Path) -> Pictures:
    """Write ``count`` pictures 00.png, 01.png, ... into a folder below the data folder.

    Their pixels follow from their paths alone.
    """

    def write(where: str, count: int) -> list[Path]:
        paths = [folder / where / f"{number:02}.png" for number in range(count)]
        (folder / where).mkdir(parents=True, exist_ok=True)
        for path in paths:
            name = path.relative_to(folder).as_posix()
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
            pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path, "PNG")
        return paths

    return write
