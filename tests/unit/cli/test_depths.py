"""What the commands make of unfreezing: rates by block, and what is stored for whom."""

from __future__ import annotations

import pytest

from search.cli.block_rates import rate_lines
from search.cli.choices import boundaries_of
from search.space.domains import Branch, Choice, Domain, Fixed, IntRange, Param, Space
from search.space.settings import Value
from search.space.spec import DataSpec, StudySpec


def _spec(*first: dict[str, Value], **domains: Domain) -> StudySpec:
    params = tuple(
        Param(name=name, branches=(Branch(domain=domain),)) for name, domain in domains.items()
    )
    return StudySpec(
        name="s",
        data=DataSpec(path="images"),
        space=Space(params=params),
        first=tuple(tuple(point.items()) for point in first),
    )


def test_each_block_of_what_is_tried_first_has_its_rate_and_its_epoch() -> None:
    spec = _spec(
        {"lr": 1e-3, "unfreeze_depth": 1},
        {"lr": 1e-2, "unfreeze_depth": 3, "layer_decay": 0.5, "finetune": "gradual"},
    )
    assert rate_lines(spec)[0] == "peak learning rate by block, and the epoch from which"
    head, *rows = [" ".join(line.split()) for line in rate_lines(spec)[1:]]
    assert head == "block head stage4 stage3 stage2 stage1 stem"
    assert rows == [
        "default 0.001 0.0001 frozen frozen frozen frozen",
        # a tenth of the head's rate, halved from block to block
        "2 0.01 0.001 from 2 0.0005 from 3 0.00025 from 4 frozen frozen",
    ]


def test_without_points_to_try_first_the_default_settings_are_shown() -> None:
    lines = rate_lines(_spec(unfreeze_depth=Fixed(value=2)))
    assert " ".join(lines[-1].split()) == "default 0.001 0.0001 0.0001 frozen frozen frozen"


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        pytest.param(("partial",), (2, 3), id="partial"),
        pytest.param(("partial", "head_then_partial"), (2, 3, 5), id="the_head_alone_too"),
        pytest.param(("gradual",), (2, 3, 4, 5), id="every_depth_on_the_way"),
    ],
)
def test_the_boundaries_of_every_phase_are_stored(
    strategies: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    spec = _spec(finetune=Choice(choices=strategies), unfreeze_depth=IntRange(low=2, high=3))
    assert boundaries_of(spec) == expected
