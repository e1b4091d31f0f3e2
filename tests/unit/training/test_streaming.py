"""Images that are decoded again in every epoch: not a bit of a curve changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.backbones.catalogue import CATALOGUE
from search.data.cache import Room, entries
from search.data.images import DecodedForm, ImageTable
from search.data.prepare import prepare
from search.data.store import ensure_decoded
from search.data.streamed import StreamedImages
from search.problems import SearchError
from search.space.spec import DataSpec
from search.training.config import TrialConfig
from search.training.inputs import trial_data
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth

FORM = DecodedForm(
    side=40, interpolation=CATALOGUE["mobilenet_v3_small"].preprocessing.interpolation
)
MOST = 8


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def table(tmp_path: Path) -> ImageTable:
    random = np.random.default_rng(0)
    for label in ("cat", "cow", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (50, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
    data = DataSpec(path=str(tmp_path / "images"))
    return prepare(data, base=tmp_path, cache=tmp_path / "cache", progress=silent).table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "stores"),
    [
        pytest.param(5, False, id="whole"),
        pytest.param(2, False, id="half", marks=pytest.mark.slow),
        pytest.param(1, True, id="features_stored"),
    ],
)
def test_streamed_images_give_the_curve_of_stored_ones(
    table: ImageTable,
    tmp_path: Path,
    curve: Callable[..., Any],
    other: Callable[..., TrialConfig],
    depth: int,
    stores: bool,
) -> None:
    config = other(unfreeze_depth=depth, epochs=2, views=2)
    mapped = ensure_decoded(
        table,
        side=FORM.side,
        interpolation=FORM.interpolation,
        cache=tmp_path / "cache",
        progress=silent,
    ).images
    streamed = StreamedImages(table, FORM, workers=2, most=MOST)
    arguments = {}
    if stores:
        settings = StoreSettings(
            cache=tmp_path / "other",
            room=Room(tmp_path / "other", 10**9),
            boundaries=frozenset({4}),
            worth=Worth(),
        )
        arguments["prefix"] = partial(StoredPrefix, settings=settings, note=lambda _: None)
    expected = curve(config, data=trial_data(table, mapped))
    assert curve(config, data=trial_data(table, streamed), **arguments) == expected
    assert bool(entries(tmp_path / "other")) == stores
    assert streamed.in_flight == 0


@pytest.mark.slow
def test_an_image_that_changes_while_a_trial_runs_ends_it_with_its_name(
    table: ImageTable, curve: Callable[..., Any], other: Callable[..., TrialConfig]
) -> None:
    streamed = StreamedImages(table, FORM, workers=2, most=MOST)
    row = next(row for row in table.rows if row.part == "val")
    table.absolute(row).write_bytes(b"other")
    with pytest.raises(SearchError, match=f"{row.path}: its content is not what was checked"):
        curve(other(unfreeze_depth=5, epochs=1), data=trial_data(table, streamed))
