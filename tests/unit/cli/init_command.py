"""``search init`` as its tests call it, and pictures for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.main import app
from search.cli.options import SpaceFlags
from search.cli.space_file import load_space
from search.space.load import Loaded

np = pytest.importorskip("numpy")
image = pytest.importorskip("PIL.Image")


def search(*arguments: str, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        app(list(arguments), prog_name="search")
    assert (ended.value.code or 0) == status


def scene(path: Path, seed: int, *, side: int = 96) -> None:
    """A picture with large shapes, another for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image.fromarray(coarse).resize((side, side), image.Resampling.BICUBIC).save(path)


def flowers(folder: Path, *, rose: int = 6, tulip: int = 4, side: int = 96) -> Path:
    for index in range(rose):
        scene(folder / "rose" / f"{index}.png", index, side=side)
    for index in range(tulip):
        scene(folder / "tulip" / f"{index}.png", 100 + index, side=side)
    return folder


def written(folder: Path = Path("study")) -> Loaded:
    return load_space(folder / "space.yaml", SpaceFlags(), env={})
