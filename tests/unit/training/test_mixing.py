"""mixup and CutMix: against torchvision's, and what they do to a trial."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import CutMix, MixUp

from search.data.cache import Room, entries
from search.training import fit as fitting
from search.training.config import TrialConfig
from search.training.draws import uniforms
from search.training.inputs import EVALUATION
from search.training.mixing import Images, Mix, beta, mix_of, mixed, shares_of
from search.training.prefix import ComputedPrefix
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth
from tests.unit.training.conftest import make_data
from tests.unit.training.frozen import images_seen, tiny_boundary

Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]


def _batch(count: int = 5, size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((count, 3, size, size), generator=generator)
    labels = torch.arange(count) % 3
    return images.contiguous(memory_format=torch.channels_last), labels


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_blending_is_torchvisions_mixup(share: float) -> None:
    images, labels = _batch()
    kept = images.clone()
    found, targets = mixed(images, shares_of(labels, 3), Mix(share=share))
    theirs = MixUp(num_classes=3)
    params = {"lam": share, "labels": labels, "batch_size": len(labels)}
    assert torch.allclose(found, theirs.transform(images, params), atol=1e-6)
    assert torch.allclose(targets, theirs.transform(labels, params), atol=1e-6)
    assert torch.equal(images, kept)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("box", [(0, 0, 5, 12), (3, 4, 9, 6), (7, 7, 7, 9), (0, 0, 12, 12)])
def test_cutting_is_torchvisions_cutmix(box: tuple[int, int, int, int]) -> None:
    images, labels = _batch()
    kept = images.clone()
    left, top, right, bottom = box
    share = 1 - (right - left) * (bottom - top) / 144
    found, targets = mixed(images, shares_of(labels, 3), Mix(share=share, box=box))
    theirs = CutMix(num_classes=3)
    params = {"box": box, "lam_adjusted": share, "labels": labels, "batch_size": len(labels)}
    assert torch.equal(found, theirs.transform(images, params))
    assert torch.allclose(targets, theirs.transform(labels, params), atol=1e-6)
    assert torch.equal(images, kept)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_targets_that_are_shares_or_values_are_mixed_as_they_are() -> None:
    images, _ = _batch(2)
    several = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    _, targets = mixed(images, shares_of(several, 3), Mix(share=0.75))
    assert torch.allclose(targets, torch.tensor([[0.75, 1.0, 0.0], [0.25, 1.0, 0.0]]))
    _, values = mixed(images, shares_of(torch.tensor([2.0, 6.0]), 1), Mix(share=0.75))
    assert values.tolist() == [3.0, 5.0]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.8, 1.0, 2.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    keys = np.arange(8_000, dtype=np.uint64)
    tries = uniforms(3, 0, keys, 256).reshape(len(keys), 128, 2)
    ours = np.sort([beta(alpha, u) for u in tries])
    theirs = np.sort(np.random.default_rng(0).beta(alpha, alpha, 400_000))
    # Kolmogorov-Smirnov: 99.99 % below 2.2 / sqrt(8000) = .025
    place = np.searchsorted(theirs, ours) / len(theirs)
    assert np.abs(place - np.arange(len(ours)) / len(ours)).max() < 0.025


@pytest.mark.slow
def test_a_box_is_where_and_as_large_as_torchvisions(other: Other) -> None:
    config = other(cutmix=1.0)
    ours = [mix_of(config, epoch=1, step=step, size=64) for step in range(4000)]
    boxes = np.array([mix.box for mix in ours])
    theirs_of, image = CutMix(num_classes=3), torch.zeros(2, 3, 64, 64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = [theirs_of.make_params([image]) for _ in range(4000)]
    for column in range(4):
        one = np.quantile(boxes[:, column], (0.1, 0.5, 0.9))
        two = np.quantile([params["box"][column] for params in theirs], (0.1, 0.5, 0.9))
        assert np.abs(one - two).max() <= 3, column  # pixels of 64
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 64**2
    assert np.array([mix.share for mix in ours]) == pytest.approx(1 - areas)
    expected = np.mean([params["lam_adjusted"] for params in theirs])
    assert np.mean([mix.share for mix in ours]) == pytest.approx(expected, abs=0.03)


@pytest.mark.slow
def test_with_both_each_batch_has_one_of_them_in_half_of_the_cases(other: Other) -> None:
    config = other(mixup=0.2, cutmix=1.0)
    found = [mix_of(config, epoch=1, step=step, size=64).box is None for step in range(2000)]
    assert abs(np.mean(found) - 0.5) < 0.05  # standard error .011
    alone = other(mixup=0.2)
    assert all(mix_of(alone, epoch=1, step=step, size=64).box is None for step in range(50))


def test_a_mix_depends_on_seed_epoch_and_step(other: Other) -> None:
    config = other(mixup=1.0)
    shares = {
        mix_of(replace(config, seed=seed), epoch=epoch, step=step, size=32).share
        for seed in (1, 2)
        for epoch in (1, 2)
        for step in (0, 1)
    }
    assert len(shares) == 8
    again = mix_of(config, epoch=2, step=1, size=32)
    assert again == mix_of(config, epoch=2, step=1, size=32)


MIXING = [
    pytest.param({"mixup": 0.4}, id="mixup"),
    pytest.param({"cutmix": 1.0}, id="cutmix"),
    pytest.param({"mixup": 0.4, "cutmix": 1.0}, id="both"),
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", MIXING)
def test_an_interrupted_trial_gives_the_same_curve(
    settings: dict[str, float], other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(epochs=2, views=1, **settings)
    whole = curve(config)
    assert whole != curve(other(epochs=2, views=1))
    first = curve(config, tmp_path, stop=1)
    assert first + curve(config, tmp_path) == whole


@pytest.mark.slow
def test_the_loss_is_of_mixed_targets(
    other: Other, curve: Curve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step sees a mixed batch whole, whatever goes through the model at once."""
    seen: list[tuple[int, torch.Tensor]] = []
    original = fitting.backward

    def spied(staged: Any, inputs: Any, targets: Any, **more: Any) -> Any:
        seen.append((more["start"], targets))
        assert inputs.shape[1:] == (3, 32, 32)
        return original(staged, inputs, targets, **more)

    monkeypatch.setattr(fitting, "backward", spied)
    curve(other(epochs=1, mixup=1.0), micro_batch=4)
    assert [start for start, _ in seen] == [0] * 4  # 26 images in eights: 8, 8, 8, 2
    for _, targets in seen:
        assert targets.shape[1] == 3
        assert torch.allclose(targets.sum(1), torch.ones(len(targets)))
    assert any(((t > 0.01) & (t < 0.99)).any() for _, t in seen)


@pytest.mark.slow
def test_what_is_stored_serves_evaluation_alone_and_that_is_said(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    notes: list[str] = []
    settings = StoreSettings(
        cache=tmp_path,
        room=Room(tmp_path, 10**9),
        boundaries=frozenset({4}),
        worth=Worth(storing=lambda sample, device, folder: 0.0),
    )
    stored = partial(StoredPrefix, settings=settings, note=notes.append)
    config = other(epochs=2, mixup=0.4)
    off = curve(config, prefix=partial(ComputedPrefix, keep_bytes=0))
    assert curve(config, prefix=stored, note=notes.append) == off
    assert sum("mix pixels" in note for note in notes) == 1
    folders = {path.parent.name for path in tmp_path.rglob("*.rows")}
    assert entries(tmp_path)
    assert folders == {"evaluation"}
    # of another trial, what was stored is read, and mixing changed none of it
    plain = other(epochs=2)
    assert curve(plain, prefix=stored) == curve(plain, prefix=partial(ComputedPrefix, keep_bytes=0))
    # a trial without frozen blocks loses nothing: nothing is said
    quiet: list[str] = []
    curve(other(epochs=1, mixup=0.4, unfreeze_depth=5), note=quiet.append)
    assert not quiet


def test_images_are_the_views_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(train=40)
    boundary = tiny_boundary(data, 0)
    seen = images_seen(boundary, monkeypatch)
    images = Images(data, boundary.geometry, boundary.device)
    rows = np.random.default_rng(0).permutation(40)
    expected = ComputedPrefix(boundary, keep_bytes=0)
    assert torch.equal(images("train", rows, 2), expected("train", rows, 2))
    assert torch.equal(images("val", rows[:3] % 20, EVALUATION), expected("val", rows[:3] % 20, -1))
    assert images.ahead(0) == 16
    assert not seen
