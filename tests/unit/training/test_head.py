"""``head: mlp`` in a real training: its rate, its checkpoints, the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search.backbones.stages import build
from search.training.checkpoint import assemble, load_trained
from search.training.config import TrialConfig
from search.training.head import head_of
from search.training.optimiser import optimiser
from tests.unit.training.frozen import Store


def test_the_head_learns_at_its_own_rate_and_the_body_at_the_scaled_one(
    other: Callable[..., TrialConfig],
) -> None:
    config = other(head="mlp", head_hidden=7, lr=1e-2, backbone_lr_scale=0.1, unfreeze_depth=1)
    staged = build(
        config.backbone,
        classes=3,
        image_size=32,
        dropout=0.2,
        state=None,
        seed=1,
        head=head_of(config),
    )
    names = {parameter: name for name, parameter in staged.model.named_parameters()}
    rates: dict[str, float] = {}
    for group in optimiser(staged, config).param_groups:
        rates |= {names[parameter]: group["peak_lr"] for parameter in group["params"]}
    owners = staged.owners()
    head = {name for name in rates if owners[name] == "head"}
    assert len(head) == 4
    assert {rates[name] for name in head} == {1e-2}
    assert {round(rates[name], 9) for name in rates if name not in head} == {1e-3}


@pytest.mark.slow
def test_a_trial_learns_it_and_its_checkpoint_gives_it_back(
    other: Callable[..., TrialConfig], curve: Callable[..., list[Any]], tmp_path: Path
) -> None:
    config = other(head="mlp", head_hidden=7, unfreeze_depth=0)
    points = curve(config, tmp_path)
    assert points[-1][1] < points[0][1]
    best = load_trained(tmp_path)
    assert {name.partition(".3.")[2] for name in best.tensors} == {
        f"{place}.{kind}" for place in (0, 3) for kind in ("weight", "bias")
    }
    staged = assemble(best, None, weights_hash="random:0")
    assert staged.model.classifier[3][0].weight.shape == (7, 1024)
    for name, tensor in best.tensors.items():
        assert torch.equal(staged.model.state_dict()[name], tensor)


@pytest.mark.slow
def test_interrupted_it_goes_on_to_the_same_curve(
    other: Callable[..., TrialConfig], curve: Callable[..., list[Any]], tmp_path: Path
) -> None:
    config = other(head="mlp", unfreeze_depth=0)
    whole = curve(config)
    first = curve(config, tmp_path, stop=1)
    assert [*first, *curve(config, tmp_path)][-1] == whole[-1]


@pytest.mark.slow
def test_the_store_changes_nothing_of_it(
    other: Callable[..., TrialConfig], curve: Callable[..., list[Any]], store: Store
) -> None:
    config = other(head="mlp", unfreeze_depth=0)
    linear = other(unfreeze_depth=0)
    assert curve(config, prefix=store.open) == curve(config)
    # What the frozen blocks give is read by trials of any head.
    assert curve(linear, prefix=store.open) == curve(linear)
