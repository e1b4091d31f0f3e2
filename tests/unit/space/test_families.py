"""A pattern in ``when: {backbone: ...}`` stands for the space's backbones that are like it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.space import Loaded
from search.space.document import from_document, to_document

SPACE = """\
backbone: [resnet50, vit_b_16, convnext_tiny]
dropout:
  - {{float: [0.1, 0.2], when: {{backbone: {pattern}}}}}
  - {{float: [0.3, 0.4]}}
"""


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("vit_*", ("vit_b_16",), id="beginning"),
        pytest.param('"*n*t*"', ("resnet50", "convnext_tiny"), id="several"),
        pytest.param('[vit_b_16, "vit_?_16", "conv*"]', ("vit_b_16", "convnext_tiny"), id="mixed"),
    ],
)
def test_it_stands_for_names_of_the_space(
    space: Callable[..., Loaded], pattern: str, expected: tuple[str, ...]
) -> None:
    spec = space(SPACE.format(pattern=pattern)).spec
    (condition,) = spec.space["dropout"].branches[0].when
    assert condition.values == expected
    assert from_document(to_document(spec)).space == spec.space


def test_one_that_stands_for_nothing_is_an_error(problems: Callable[..., list[str]]) -> None:
    lines = "".join(f"  {line}\n" for line in SPACE.format(pattern='"swin*"').splitlines())
    assert problems(f"data: {{path: x}}\nspace:\n{lines}") == [
        "5:44: when backbone: no backbone of the space is like 'swin*' | "
        'one of resnet50, vit_b_16, convnext_tiny | "swin*"'
    ]


def test_a_pattern_is_no_value_of_a_backbone(problems: Callable[..., list[str]]) -> None:
    (problem,) = problems('data: {path: x}\nspace: {backbone: ["resnet*"]}')
    assert "resnet*" in problem
