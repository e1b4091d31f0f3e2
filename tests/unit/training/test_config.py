"""From a sampled point to a trial, and from a table to its images."""

import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from search.data.images import ImageRow, ImageTable
from search.training.config import SETTINGS, TrialConfig, settings_of, trial_config
from search.training.inputs import trial_data

SIZES = {"resnet50": 224, "vit_b_16": 224}
LIGHT = ("config", "report", "faults", "draws", "augmentation", "recipe", "metrics", "schedule")


def test_settings_that_are_not_named_take_their_defaults() -> None:
    config = trial_config({}, own_size=SIZES, epochs=7, seed=1, augmentation_seed=2)
    for name, value in settings_of(config).items():
        if name not in ("image_size", "views"):
            assert value == SETTINGS[name].default, name
    assert (config.image_size, config.views, config.epochs) == (224, 7, 7)


@pytest.mark.parametrize(
    ("point", "views"),
    [({"augmentation": "none"}, 1), ({"views": 3}, 3), ({"augmentation": "none", "views": 3}, 1)],
)
def test_views_are_resolved(point: dict[str, str | int], views: int) -> None:
    config = trial_config(point, own_size=SIZES, epochs=7, seed=1, augmentation_seed=2)
    assert config.views == views


@pytest.mark.parametrize(
    ("micro_batch", "at_once"),
    [
        pytest.param(0, 32, id="the_whole_batch"),
        pytest.param(8, 8, id="a_part"),
        pytest.param(64, 32, id="no_more_than_the_batch"),
    ],
)
def test_a_micro_batch_is_what_goes_through_at_once(micro_batch: int, at_once: int) -> None:
    point = {"micro_batch": micro_batch, "batch_size": 32}
    config = trial_config(point, own_size=SIZES, epochs=7, seed=1, augmentation_seed=2)
    assert config.at_once == at_once


def test_every_setting_is_a_field_of_its_type_and_a_default_is_written_once() -> None:
    hints = {"int": int, "float": float, "backbone": str}
    own = {field.name: field for field in fields(TrialConfig)}
    types = get_type_hints(TrialConfig)
    for name, row in SETTINGS.items():
        assert types[name] is hints.get(row.kind, type(row.default)), name
        if own[name].default is not MISSING:
            assert own[name].default == row.default, name


def test_a_name_that_is_no_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="learning_rate"):
        trial_config({"learning_rate": 1}, own_size=SIZES, epochs=1, seed=0, augmentation_seed=0)


def _table() -> ImageTable:
    parts = ("train", "test", "val", "train")
    return ImageTable(
        root=Path("/"),
        classes=("a", "b"),
        rows=tuple(
            ImageRow(path=f"{n}.png", label=n % 2, part=part, sha256=f"{n:x}" * 64)
            for n, part in enumerate(parts)
        ),
        fingerprint="",
    )


def test_a_trial_sees_train_and_val_and_never_test() -> None:
    images = np.arange(4, dtype=np.uint8).repeat(75).reshape(4, 5, 5, 3)
    data = trial_data(_table(), images)
    assert data.train.rows.tolist() == [0, 3]
    assert data.train.labels.tolist() == [0, 1]
    assert data.train.keys.tolist() == [0, int("3" * 16, 16)]
    assert data.val.rows.tolist() == [2]
    with pytest.raises(ValueError, match="test"):
        data.part("test")


def test_decoded_images_of_another_table_are_refused() -> None:
    with pytest.raises(ValueError, match="3 decoded images for 4 rows"):
        trial_data(_table(), np.zeros((3, 5, 5, 3), np.uint8))


@pytest.mark.slow
def test_the_torch_free_leaves_import_no_torch() -> None:
    lines = [f"import search.training.{name}" for name in LIGHT]
    lines.append("import sys; assert not {'torch', 'sklearn', 'ray'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
