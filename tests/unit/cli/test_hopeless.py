"""A space of which every trial would fail is told of before a trial is spent on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.backbones.catalogue import CATALOGUE
from search.backbones.construct import skeleton
from search.backbones.layout import layout
from search.backbones.stages import Staged
from search.cli.hopeless import ONE_PIXEL_UP_TO, hopeless
from search.cli.options import SpaceFlags
from search.cli.space_file import load_space

QUICK = ("resnet18", "googlenet", "mobilenet_v3_small", "vgg11_bn", "vit_b_16", "squeezenet1_1")
NAMES = [name for name in CATALOGUE if not name.startswith("timm:")]


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        pytest.param({"batch_size": "1"}, 32, id="every_point"),
        pytest.param({"batch_size": "1", "micro_batch": "4"}, 32, id="whatever_the_parts"),
        pytest.param({"batch_size": "1", "backbone": "[resnet18, googlenet]"}, 32, id="both"),
        pytest.param(
            {"batch_size": "1", "backbone": "densenet121", "image_size": "[32, 60]"},
            60,
            id="every_size",
        ),
        pytest.param(
            {"batch_size": "1", "unfreeze_depth": "0", "batch_norm": "train"}, 32, id="moved"
        ),
        pytest.param({"batch_size": "2"}, None, id="two_images"),
        pytest.param({"batch_size": "[1, 2]"}, None, id="some_points_have_two"),
        pytest.param({"batch_size": "2", "micro_batch": "1"}, None, id="parts_become_two"),
        pytest.param({"batch_size": "1", "image_size": "64"}, None, id="a_larger_map"),
        pytest.param({"batch_size": "1", "image_size": "0"}, None, id="the_backbones_own_size"),
        pytest.param({"batch_size": "1", "image_size": "[32, 64]"}, None, id="some_are_larger"),
        pytest.param({"batch_size": "1", "unfreeze_depth": "0"}, None, id="the_head_alone"),
        pytest.param({"batch_size": "1", "unfreeze_depth": "{int: [0, 2]}"}, None, id="some_do"),
        pytest.param({"batch_size": "1", "backbone": "convnext_tiny"}, None, id="no_batch_norm"),
        pytest.param({"batch_size": "1", "backbone": "timm:resnet18.a1_in1k"}, None, id="timm"),
    ],
)
def test_a_space_without_a_trial_that_can_learn_is_warned_of(
    settings: dict[str, str], size: int | None, tmp_path: Path
) -> None:
    given = {"backbone": "resnet18", "image_size": "32", "unfreeze_depth": "1", **settings}
    lines = ["data: {sample: solar-cells}", "epochs: {min: 1, max: 2}", "space:"]
    lines += [f"  {name}: {value}" for name, value in given.items()]
    file = tmp_path / "space.yaml"
    file.write_text("\n".join(lines) + "\n")
    found = hopeless(load_space(file, SpaceFlags(), env={}, images=False).spec.space)
    fact = (
        "every trial would fail: batch_size is 1, and batch-norm has one value of each channel "
        f"in an image of {size} px, of which it has no spread"
    )
    assert [(each.level, each.fact, each.fix) for each in found] == (
        [("warning", fact, "batch_size: 2")] if size else []
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.thorough) for n in NAMES],
)
def test_the_sizes_that_leave_one_value_are_those_of_the_models(name: str) -> None:
    rule = CATALOGUE[name].size
    most = next((px for start, px in ONE_PIXEL_UP_TO.items() if name.startswith(start)), 0)
    near = {rule.nearest(px) for px in (rule.minimum, most, most + 1)}
    for size in sorted(near):
        assert (1 in _values(name, size)) == (size <= most), size


def _values(name: str, size: int) -> set[int]:
    """Values of a channel that batch-norm of stage 4 has of one image."""
    model = skeleton(name, classes=3, image_size=size).eval()
    staged = Staged(name, model, layout(name, model), dropout=0.0)
    found: set[int] = set()

    def seen(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        found.add(inputs[0].numel() // inputs[0].shape[1])

    for module in _normalising(staged):
        module.register_forward_pre_hook(seen)
    with torch.no_grad():
        staged(torch.empty(1, 3, size, size, device="meta"))
    return found


def _normalising(staged: Staged) -> Iterator[nn.Module]:
    return (module for module in staged.blocks[4].modules() if isinstance(module, _BatchNorm))
