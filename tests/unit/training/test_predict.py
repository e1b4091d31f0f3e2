"""Export and predict see what validation saw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from search.backbones.catalogue import CATALOGUE
from search.backbones.stages import build, restore
from search.training.checkpoint import assemble, load_trained
from search.training.config import TrialConfig
from search.training.faults import CheckpointUnusable
from search.training.inputs import TrialData
from search.training.metrics import metrics
from search.training.predict import predict_probabilities

PREPROCESSING = CATALOGUE["mobilenet_v3_small"].preprocessing


@pytest.mark.slow
@pytest.mark.parametrize(
    "depth", [pytest.param(0, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)]
)
def test_the_assembled_model_gives_the_recorded_metrics_to_the_bit(
    depth: int,
    other: Callable[..., TrialConfig],
    curve: Callable[..., object],
    data: TrialData,
    tmp_path: Path,
) -> None:
    curve(other(unfreeze_depth=depth, epochs=2, activations="float32"), tmp_path)
    best = load_trained(tmp_path)
    staged = assemble(best, None, weights_hash="random:0")
    again = restore("mobilenet_v3_small", classes=3, image_size=32, state=staged.model.state_dict())
    again.to(memory_format=torch.channels_last)
    for model in (staged, again):
        found = predict_probabilities(
            model, data.val.images, preprocessing=PREPROCESSING, image_size=32, rows=data.val.rows
        )
        assert metrics(found, data.val.labels) == best.metrics


@pytest.mark.slow
def test_the_assembled_model_differs_by_the_rounding_of_frozen_blocks_alone(
    other: Callable[..., TrialConfig], curve: Callable[..., object], data: TrialData, tmp_path: Path
) -> None:
    curve(other(unfreeze_depth=1, epochs=2, activations="float16"), tmp_path)
    best = load_trained(tmp_path)
    model = assemble(best, None, weights_hash="random:0")
    found = predict_probabilities(
        model, data.val.images, preprocessing=PREPROCESSING, image_size=32, rows=data.val.rows
    )
    assert metrics(found, data.val.labels)["loss"] == pytest.approx(best.metrics["loss"], rel=5e-3)


@pytest.mark.slow
def test_weights_of_another_file_are_refused(
    config: TrialConfig, curve: Callable[..., object], tmp_path: Path
) -> None:
    curve(config, tmp_path, stop=1)
    with pytest.raises(CheckpointUnusable, match=r"random:0.*these are f00d"):
        assemble(load_trained(tmp_path), None, weights_hash="f00d")


def test_an_images_probabilities_do_not_depend_on_the_others(data: TrialData) -> None:
    staged = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.5, state=None, seed=0)
    staged.to(memory_format=torch.channels_last)
    images = data.train.images

    def predict(some: np.ndarray) -> np.ndarray:
        return predict_probabilities(staged, some, preprocessing=PREPROCESSING, image_size=32)

    whole = predict(images)
    assert whole.dtype == np.float32
    assert whole.shape == (46, 3)
    assert whole.sum(axis=1) == pytest.approx(np.ones(46))
    for rows in ([3], [45, 0], list(range(17)), list(range(45, -1, -1))):
        assert np.array_equal(predict(images[rows]), whole[rows])
    assert predict(images[:0]).shape == (0, 3)
