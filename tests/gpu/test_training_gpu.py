"""A trial on a CUDA card: the same answers as on a CPU, within bf16."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search.backbones.catalogue import CATALOGUE
from search.backbones.stages import build
from search.training.checkpoint import assemble, load_trained
from search.training.config import POLICIES, TrialConfig
from search.training.faults import Diverged, OutOfMemory
from search.training.fit import fit
from search.training.inputs import EVALUATION, Examples, Geometry, TrialData, view
from search.training.metrics import metrics
from search.training.predict import predict_probabilities
from search.training.recipe import RECIPES
from search.training.report import EpochReport
from search.training.reset import reset
from search.training.resident import resident

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card; torch sees none"),
]
NAME = "resnet18"
SIZE = 64
PREPROCESSING = CATALOGUE[NAME].preprocessing


def _data() -> TrialData:
    random = np.random.default_rng(0)
    labels = np.arange(330, dtype=np.int64) % 3
    images = random.integers(0, 256, (330, 80, 80, 3), dtype=np.uint8)
    images[labels == 1, :, :40] //= 2
    images[labels == 2, :40] //= 2
    keys = random.integers(0, 2**63, 330).astype(np.uint64)

    def part(rows: np.ndarray) -> Examples:
        return Examples(images=images, rows=rows, labels=labels[rows], keys=keys[rows])

    return TrialData(train=part(np.arange(200)), val=part(np.arange(200, 330)))


def _config(*, depth: int, policy: str = "light", lr: float = 3e-3, epochs: int = 4) -> TrialConfig:
    return TrialConfig(
        backbone=NAME,
        image_size=SIZE,
        unfreeze_depth=depth,
        lr=lr,
        backbone_lr_scale=0.3,
        dropout=0.1,
        weight_decay=1e-2,
        label_smoothing=0.0,
        warmup=0.1,
        augmentation=policy,
        views=2,
        batch_size=32,
        epochs=epochs,
        seed=1,
        augmentation_seed=2,
    )


def _reports(
    config: TrialConfig, folder: Path | None = None, device: str = "cuda"
) -> Iterator[EpochReport]:
    return fit(
        config,
        data=_data(),
        weights=None,
        preprocessing=PREPROCESSING,
        weights_hash="random:0",
        classes=3,
        device=device,
        folder=folder,
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_views_are_those_of_the_cpu_within_a_level(policy: str) -> None:
    data = _data().train
    geometry = Geometry(
        image_size=SIZE,
        preprocessing=PREPROCESSING,
        recipe=RECIPES.get(policy),
        augmentation_seed=2,
    )
    rows = np.arange(128)
    level = 1 / (255 * min(PREPROCESSING.std))
    for number in (EVALUATION, 0, 3):
        one = view(data, rows, number, geometry, torch.device("cpu"))
        two = view(data, rows, number, geometry, torch.device("cuda")).cpu()
        far = (one - two).abs() > 2.01 * level
        assert far.float().mean() < 0.01  # equalise and posterise can turn a level into more


def test_images_that_are_kept_on_the_card_give_the_same_views() -> None:
    part, card = _data().train, torch.device("cuda")
    kept = resident(part.images, card, free=torch.cuda.mem_get_info()[0])
    assert kept is not None
    geometry = Geometry(
        image_size=SIZE, preprocessing=PREPROCESSING, recipe=RECIPES["heavy"], augmentation_seed=2
    )
    there = view(replace(part, resident=kept), np.arange(20), 2, geometry, card)
    assert torch.equal(there, view(part, np.arange(20), 2, geometry, card))
    assert reset(threads=torch.get_num_threads(), kept=kept.nbytes) == ()


@pytest.mark.parametrize("depth", range(6))
def test_every_depth_learns_and_its_export_says_the_same(depth: int, tmp_path: Path) -> None:
    reports = list(_reports(_config(depth=depth), tmp_path))
    assert reports[-1].train_loss < reports[0].train_loss
    assert all(report.peak_memory_mb > 1 for report in reports)
    best = load_trained(tmp_path)
    staged = assemble(best, None, weights_hash="random:0")
    val = _data().val
    for device in ("cuda", "cpu"):
        staged.to(device, memory_format=torch.channels_last)
        found = predict_probabilities(
            staged,
            val.images,
            preprocessing=PREPROCESSING,
            image_size=SIZE,
            device=device,
            rows=val.rows,
        )
        values = metrics(found, val.labels)
        assert values["loss"] == pytest.approx(best.metrics["loss"], abs=0.05)


def test_an_interrupted_trial_goes_on(tmp_path: Path) -> None:
    whole = [report.train_loss for report in _reports(_config(depth=1))]
    reports = _reports(_config(depth=1), tmp_path)
    begun = [next(reports).train_loss, next(reports).train_loss]
    reports.close()
    rest = [report.train_loss for report in _reports(_config(depth=1), tmp_path)]
    assert begun + rest == pytest.approx(whole, rel=0.05)  # bf16, and atomics in backward


def test_a_trial_of_a_gpu_goes_on_on_a_cpu(tmp_path: Path) -> None:
    next(iter(_reports(_config(depth=1), tmp_path)))
    report = next(iter(_reports(_config(depth=1), tmp_path, device="cpu")))
    assert report.epoch == 2


def test_divergence_is_noticed_without_a_look_at_every_step() -> None:
    with pytest.raises(Diverged):
        list(_reports(_config(depth=0, lr=1e38)))


def test_a_full_card_has_a_name_and_the_next_trial_runs() -> None:
    free, _ = torch.cuda.mem_get_info()
    blocks = [torch.empty(max(free - 2**28, 0), dtype=torch.uint8, device="cuda")]
    try:
        with pytest.raises(OutOfMemory):
            list(_hungry())
    finally:
        blocks.clear()
    assert reset(threads=torch.get_num_threads()) == ()
    assert next(iter(_reports(_config(depth=1)))).epoch == 1


def test_a_trial_leaves_next_to_nothing_on_the_card() -> None:
    list(_reports(_config(depth=5, epochs=1)))
    assert reset(threads=torch.get_num_threads()) == ()
    assert torch.cuda.memory_allocated() < 8 * 2**20  # cuBLAS's workspaces were given back


def _hungry() -> Iterator[EpochReport]:
    config = replace(_config(depth=5), backbone="vgg16", batch_size=200)
    return fit(
        config,
        data=_data(),
        weights=None,
        preprocessing=PREPROCESSING,
        weights_hash="random:0",
        classes=3,
        device="cuda",
    )


def test_the_forward_pass_agrees_with_the_cpu_within_bf16() -> None:
    staged = build(NAME, classes=3, image_size=SIZE, dropout=0.0, state=None, seed=0)
    images = _data().val.images[:150]
    found = []
    for device in ("cpu", "cuda"):
        staged.to(device, memory_format=torch.channels_last)
        found.append(
            predict_probabilities(
                staged, images, preprocessing=PREPROCESSING, image_size=SIZE, device=device
            )
        )
    assert np.abs(found[0] - found[1]).max() < 0.03
