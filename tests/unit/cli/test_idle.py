"""Settings that a backbone does not have are told of before a trial is spent on them."""

from pathlib import Path

import pytest

from search.cli.idle import idle_settings
from search.cli.options import SpaceFlags
from search.cli.space_file import load_space

LACKING = "stochastic_depth does nothing for backbones that have none: "


@pytest.mark.parametrize(
    ("backbones", "depth", "fact", "fix"),
    [
        pytest.param("[resnet18, vgg11]", None, None, None, id="not_in_the_space"),
        pytest.param("[swin_t, efficientnet_b0]", "0.2", None, None, id="all_have_it"),
        pytest.param("[resnet18]", "-1", None, None, id="the_architectures_own"),
        pytest.param(
            "[resnet18, swin_t, vgg11]",
            "{float: [0.0, 0.3]}",
            "resnet18, vgg11",
            "when: {backbone: [swin_t]}",
            id="some_have_none",
        ),
        pytest.param(
            "[resnet18, resnet34, resnet50, vgg11, vgg13]",
            "[-1.0, 0.2]",
            "resnet18, resnet34, resnet50 (and 2 more)",
            "leave stochastic_depth out",
            id="none_has_it",
        ),
        pytest.param(
            "[resnet18, swin_t]",
            "{value: 0.2, when: {backbone: swin_t}}",
            None,
            None,
            id="only_where_there_is_one",
        ),
    ],
)
def test_stochastic_depth_of_backbones_without_it_is_warned_of(
    backbones: str, depth: str | None, fact: str | None, fix: str | None, tmp_path: Path
) -> None:
    lines = ["data: {sample: solar-cells}", "epochs: {min: 1, max: 2}"]
    lines += ["space:", f"  backbone: {backbones}"]
    lines += [f"  stochastic_depth: {depth}"] if depth else []
    file = tmp_path / "space.yaml"
    file.write_text("\n".join(lines) + "\n")
    found = idle_settings(load_space(file, SpaceFlags(), env={}, images=False).spec.space)
    assert [(problem.fact, problem.fix) for problem in found] == (
        [(LACKING + fact, fix)] if fact else []
    )
