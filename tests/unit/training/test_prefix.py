"""Features of frozen blocks: computed or kept, the same to the last bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from search.backbones.catalogue import CATALOGUE
from search.backbones.stages import build
from search.training.inputs import EVALUATION, Geometry, TrialData
from search.training.prefix import Boundary, ComputedPrefix, stream
from search.training.schedule import batches

CPU = torch.device("cpu")


def _boundary(data: TrialData, frozen: int, **changes: Any) -> Boundary:
    staged = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.0, state=None, seed=0)
    staged.to(memory_format=torch.channels_last).set_mode(5 - frozen, training=True)
    boundary = Boundary(
        staged=staged,
        frozen=frozen,
        data=data,
        geometry=Geometry(
            image_size=32,
            preprocessing=CATALOGUE["mobilenet_v3_small"].preprocessing,
            policy="medium",
            augmentation_seed=3,
        ),
        weights_hash="random:0",
        device=CPU,
        epochs=4,
        views=2,
    )
    return replace(boundary, **changes)


@pytest.mark.parametrize("frozen", [0, 1, 3, 5])
@pytest.mark.parametrize("number", [EVALUATION, 1])
def test_features_do_not_depend_on_what_they_are_asked_with(
    data: TrialData, frozen: int, number: int
) -> None:
    boundary = _boundary(data, frozen)
    rows = np.random.default_rng(0).permutation(len(data.train))
    once = ComputedPrefix(boundary, keep_bytes=0)("train", rows, number)
    assert not once.requires_grad
    kept = ComputedPrefix(boundary)
    for some in (rows[:1], rows[3:9], rows[::-1].copy(), np.repeat(rows[:1], 5), rows):
        found = kept("train", some, number)
        places = [list(rows).index(row) for row in some]
        assert torch.equal(found, once[places])
    assert found.stride() == once.stride()


def test_what_is_read_again_is_computed_once(data: TrialData) -> None:
    boundary = _boundary(data, 5)
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    boundary.staged.model.features[0].register_forward_hook(count)
    prefix = ComputedPrefix(boundary)
    rows = np.arange(20)
    for _ in range(3):
        prefix("val", rows, EVALUATION)
        prefix("train", rows, 1)
    assert counted == 4  # 20 images are two chunks of 16, for two parts


def test_training_views_that_never_repeat_are_not_kept(data: TrialData) -> None:
    prefix = ComputedPrefix(_boundary(data, 5, views=4, epochs=4))
    prefix("train", np.arange(20), 0)
    assert not prefix._kept


def test_the_budget_is_not_exceeded(data: TrialData) -> None:
    # 1024 float32 for each of 26 and of 20 images: 106496 and 81920 bytes
    prefix = ComputedPrefix(_boundary(data, 5), keep_bytes=120_000)
    first = prefix("train", np.arange(26), 0)
    prefix("val", np.arange(20), EVALUATION)
    assert [kept is None for kept in prefix._kept.values()] == [False, True]
    assert torch.equal(prefix("train", np.arange(26), 0), first)


@pytest.mark.parametrize("size", [1, 5, 8, 16, 24, 64])
def test_a_stream_gives_every_batch_in_order(data: TrialData, size: int) -> None:
    prefix = ComputedPrefix(_boundary(data, 5), keep_bytes=0)
    order = np.random.default_rng(1).permutation(26)
    whole = prefix("train", order, 1)
    seen = 0
    for chosen, features in stream(prefix, order, batches(26, size), 1, 16):
        assert np.array_equal(chosen, order[seen : seen + len(chosen)])
        assert torch.equal(features, whole[seen : seen + len(chosen)])
        seen += len(chosen)
    assert seen == 26
