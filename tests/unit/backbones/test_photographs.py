"""The packaged weights see what is on two real photographs.

Names, padding, normalisation and interpolation are all right only together:
each mistake alone leaves the shapes as they are and the answer wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from search.backbones.availability import Located, locate
from search.backbones.catalogue import CATALOGUE
from search.backbones.construct import skeleton
from search.backbones.files import read_tensors
from search.backbones.lite import renamed
from search.backbones.stages import restore
from search.space.spec import WeightsSpec

PALACE, DAISY = 698, 985  # of ImageNet's 1000 classes


def probabilities(name: str, photograph: str, tmp_path: Path) -> Tensor:
    from sklearn.datasets import load_sample_image

    info = CATALOGUE[name]
    located = locate(name, WeightsSpec(), tmp_path)
    assert isinstance(located, Located)
    assert located.path is not None
    size, how = info.size.default, located.preprocessing
    names = skeleton(name, classes=1000, image_size=size)
    state = renamed(read_tensors(located.path), names)
    staged = restore(name, classes=1000, image_size=size, state=state)
    image = Image.fromarray(load_sample_image(photograph))
    scale = size / how.crop_ratio / min(image.size)
    image = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (image.width - size) // 2, (image.height - size) // 2
    image = image.crop((left, top, left + size, top + size))
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)
    inputs = (pixels - torch.tensor(how.mean)) / torch.tensor(how.std)
    with torch.no_grad():
        return staged(inputs.permute(2, 0, 1)[None]).softmax(1)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "photograph", "label", "at_least"),
    [
        pytest.param("efficientnet_lite0", "china.jpg", PALACE, 0.25, id="lite0_palace"),
        pytest.param("efficientnet_lite0", "flower.jpg", DAISY, 0.25, id="lite0_daisy"),
        pytest.param("efficientnet_lite1", "china.jpg", PALACE, 0.45, id="lite1_palace"),
    ],
)
def test_the_first_guess_is_right(
    name: str, photograph: str, label: int, at_least: float, tmp_path: Path
) -> None:
    guess = probabilities(name, photograph, tmp_path)
    assert guess.argmax().item() == label
    assert guess[label] >= at_least
