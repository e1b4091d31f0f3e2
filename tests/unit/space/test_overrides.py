"""Values of the command line: put in before the checks, shown where they came from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.problems import SearchError
from search.space import Loaded, Override
from search.space.domains import Fixed, FloatRange

TEXT = """\
data: {sample: solar-cells, max_images: 50}
space: {lr: {float: [1e-4, 1e-2]}, dropout: [0.1, 0.2]}
resources: auto
"""


def flag(item: str) -> Override:
    """``--set PATH=VALUE``."""
    path, _, text = item.partition("=")
    return Override(path=path, text=text, flag=f"--set {item}")


def test_an_override_replaces_a_value_and_is_read_as_yaml(read: Callable[..., Loaded]) -> None:
    overrides = [
        flag("space.lr=1e-3"),
        flag("space.dropout={float: [0, 0.5]}"),
        flag("epochs.max=27"),
        flag("objective=loss"),
    ]
    spec = read(TEXT, overrides=overrides).spec
    assert spec.space["lr"].branches[0].domain == Fixed(value=1e-3)
    assert spec.space["dropout"].branches[0].domain == FloatRange(low=0.0, high=0.5)
    assert (spec.epochs.max, spec.objective) == (27, "loss")


def test_an_override_changes_one_key_inside_a_domain(read: Callable[..., Loaded]) -> None:
    spec = read(TEXT, overrides=[flag("space.lr.log=true")]).spec
    assert spec.space["lr"].branches[0].domain == FloatRange(low=1e-4, high=1e-2, log=True)


def test_later_overrides_win(read: Callable[..., Loaded]) -> None:
    assert read(TEXT, overrides=[flag("study.seed=1"), flag("study.seed=2")]).spec.seed == 2


def test_a_section_that_is_a_word_becomes_a_mapping(read: Callable[..., Loaded]) -> None:
    spec = read(TEXT, overrides=[flag("resources.concurrency=3")]).spec
    assert spec.resources.concurrency == 3


@pytest.mark.parametrize("source", ["path", "manifest"])
def test_another_source_of_images_replaces_the_one_in_the_file(
    source: str, read: Callable[..., Loaded]
) -> None:
    override = Override(path=f"data.{source}", text="~/a b: c", flag="--data x", literal=True)
    data = read(TEXT, overrides=[override]).spec.data
    assert getattr(data, source) == "~/a b: c"
    assert data.sample is None
    assert data.max_images == 50


def test_images_can_come_from_the_command_line_alone(read: Callable[..., Loaded]) -> None:
    override = Override(path="data.path", text="'x'", flag="--data x")
    assert read("space: {lr: [1, 2]}", overrides=[override]).spec.data.path == "x"


def test_a_file_can_be_empty_when_the_command_line_says_all(read: Callable[..., Loaded]) -> None:
    assert read("", overrides=[flag("data.path=x"), flag("space.lr=[1, 2]")]).spec


def shown(read: Callable[..., Loaded], *overrides: Override) -> str:
    with pytest.raises(SearchError) as caught:
        read(TEXT, overrides=overrides)
    return str(caught.value)


def test_a_wrong_value_is_underlined_in_what_was_typed(read: Callable[..., Loaded]) -> None:
    assert shown(read, flag("space.lr={float: [1, 1e-3]}")).splitlines() == [
        "--set:1:18: error: lr: low (1) is greater than high (0.001)",
        "  |",
        "1 | space.lr={float: [1, 1e-3]}",
        "  |                  ^^^^^^^^^",
        "  = fix: swap the bounds: [1e-3, 1]",
    ]


@pytest.mark.parametrize(
    ("item", "lines"),
    [
        pytest.param(
            "spaec.lr=1",
            ["--set:1:1: error: there is nothing to set under 'spaec'", "= fix: space.lr"],
            id="unknown_section",
        ),
        pytest.param(
            "space.dropuot=1",
            ["--set:1:1: error: there is no setting 'dropuot'", "= fix: dropout"],
            id="unknown_setting",
        ),
        pytest.param(
            "epochs.mx=1",
            ["--set:1:1: error: epochs has no key 'mx'", "= fix: max"],
            id="unknown_key",
        ),
        pytest.param(
            "space.dropout.float=[0, 1]",
            ["'float' cannot be set inside a list", "= fix: set the whole list"],
            id="inside_a_list",
        ),
        pytest.param("space..lr=1", ["is no path"], id="empty_key"),
        pytest.param("space.lr=", ["lr is empty, not a number"], id="empty_value"),
        pytest.param("space.lr=[1", ["expected ',' or ']'", "close the list"], id="broken_yaml"),
        pytest.param("space.lr=" + "[" * 500, ["nested more than"], id="nested"),
        pytest.param("space.lr=\x00", ["U+0000"], id="nul"),
        pytest.param("space.lr=1\n---\n2", ["a second document"], id="two_documents"),
    ],
)
def test_a_wrong_override_is_shown_with_a_fix(
    item: str, lines: list[str], read: Callable[..., Loaded]
) -> None:
    printed = shown(read, flag(item))
    assert printed.startswith("--set:")
    assert [line for line in lines if line not in printed] == []


def test_problems_of_the_file_come_before_those_of_flags(read: Callable[..., Loaded]) -> None:
    with pytest.raises(SearchError) as caught:
        read("data: {path: x}\nspace: {lr: fast}", overrides=[flag("epochs.max=0")])
    assert [problem.place and problem.place.file for problem in caught.value.problems] == [
        "s.yaml",
        "--set",
    ]


def test_a_password_in_a_flag_is_taken_and_never_shown(read: Callable[..., Loaded]) -> None:
    url = "postgresql://me:s3cret@host/db"
    for name in ("--storage", "SEARCH_STORAGE"):
        override = Override(path="storage", text=f"'{url}'", flag=name)
        assert read(TEXT, overrides=[override]).spec.storage == url
        wrong = Override(path="storage", text="'mysql://me:s3cret@host/db'", flag=name)
        printed = shown(read, wrong)
        assert "no database URL" in printed
        assert "s3cret" not in printed


CONDITIONAL = """\
data: {path: x}
space:
  backbone: [resnet50, vit_b_16]
  unfreeze_depth: {int: [0, 3]}
  backbone_lr_scale: {float: [0.1, 0.5], when: {unfreeze_depth: {min: 1}}}
  weight_decay:
    - {float: [1e-4, 1e-3], when: {backbone: [resnet50]}}
    - {float: [1e-2, 1e-1]}
first: [default, {backbone: vit_b_16}, {unfreeze_depth: 2, backbone_lr_scale: 0.2}]
"""


@pytest.mark.parametrize(
    ("item", "names", "tried"),
    [
        pytest.param(
            "space.backbone=resnet50",
            ["backbone", "unfreeze_depth", "backbone_lr_scale", "weight_decay"],
            2,
            id="a_branch_that_no_longer_holds",
        ),
        pytest.param(
            "space.unfreeze_depth=0",
            ["backbone", "unfreeze_depth", "weight_decay"],
            2,
            id="a_setting_that_no_longer_exists",
        ),
        pytest.param(
            "space.unfreeze_depth=[1, 2]",
            ["backbone", "unfreeze_depth", "backbone_lr_scale", "weight_decay"],
            3,
            id="a_condition_that_always_holds",
        ),
    ],
)
def test_what_a_flag_makes_void_is_left_out(
    item: str, names: list[str], tried: int, read: Callable[..., Loaded]
) -> None:
    loaded = read(CONDITIONAL, overrides=[flag(item)])
    assert [param.name for param in loaded.spec.space.params] == names
    assert len(loaded.spec.first) == tried
    lost = [warning for warning in loaded.warnings if "as flags left it" in warning.fact]
    assert len(lost) == 3 - tried


def test_a_flag_does_not_hide_a_size_that_a_backbone_cannot_take(
    read: Callable[..., Loaded],
) -> None:
    with pytest.raises(SearchError, match="vit_b_16 cannot take 100"):
        read(CONDITIONAL, overrides=[flag("space.image_size=100")])


def test_a_condition_of_a_flag_that_nothing_reaches_is_refused_one_of_the_file_is_left_out(
    read: Callable[..., Loaded],
) -> None:
    text = (
        "data: {path: x}\n"
        "space:\n"
        "  unfreeze_depth: {int: [0, 5]}\n"
        "  dropout: {value: 0.1, when: {unfreeze_depth: {min: 3}}}\n"
    )
    assert read(text, overrides=[flag("space.unfreeze_depth=1")]).spec
    never = flag("space.lr={value: 1e-3, when: {unfreeze_depth: {min: 9}}}")
    with pytest.raises(SearchError, match="when of lr: unfreeze_depth is never in this range"):
        read(text, overrides=[never])
