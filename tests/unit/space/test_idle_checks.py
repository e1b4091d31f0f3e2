"""Settings that do nothing are told of before a trial is spent on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search.cli.options import SpaceFlags
from search.cli.space_file import load_space
from search.problems import Problem
from search.space import Loaded, Override, load
from search.space.acting import words
from search.space.document import identity, to_document
from search.space.settings import Setting
from search.training.config import SETTINGS
from tests.unit.space.conftest import DATA, SIZES, Read

Space = Callable[..., Loaded]
ROOT = Path(__file__).parents[3]
BACKBONES = "backbone: [resnet50, vit_b_16]"
DEPTHS = "unfreeze_depth: {int: [0, 5]}"

# setting: lines that let it act, lines that never do, lines that do at some points; what is
# written of it varied; the `when` that it lacks.
TABLE = {
    "backbone_lr_scale": (
        *("unfreeze_depth: 3", "unfreeze_depth: 0", DEPTHS),
        *("{float: [0.1, 1.0]}", "{unfreeze_depth: {min: 1}}"),
    ),
    "finetune": (
        *("unfreeze_depth: 1", "unfreeze_depth: 0", DEPTHS),
        *("{choice: [partial, gradual]}", "{unfreeze_depth: {min: 1}}"),
    ),
    "head_epochs": (
        *("finetune: head_then_partial", "finetune: gradual", "finetune: [partial, gradual, ~]"),
        *("{int: [1, 2]}", "{finetune: head_then_partial}"),
    ),
    "unfreeze_every": (
        *("finetune: gradual", "finetune: head_then_partial", "finetune: [partial, ~]"),
        *("{int: [1, 2]}", "{finetune: gradual}"),
    ),
    "batch_norm": (
        *("unfreeze_depth: 4", "unfreeze_depth: 5", DEPTHS),
        *("{choice: [frozen, train]}", "{unfreeze_depth: {max: 4}}"),
    ),
    "layer_decay": (
        *("unfreeze_depth: 2", "lr: 1e-3", DEPTHS),
        *("{float: [0.5, 0.9]}", "{unfreeze_depth: {min: 2}}"),
    ),
    "momentum": (
        *("optimiser: sgd", "lr: 1e-3", "optimiser: [adamw, sgd]"),
        *("{choice: [0.5, 0.8, 0.9]}", "{optimiser: sgd}"),
    ),
    "step_epochs": (
        *("lr_schedule: step", "lr_schedule: cosine", "lr_schedule: [step, linear]"),
        *("{int: [1, 2]}", "{lr_schedule: step}"),
    ),
    "step_factor": (
        *("lr_schedule: step", "lr_schedule: one_cycle", "lr_schedule: [step, linear]"),
        *("{float: [0.1, 0.5]}", "{lr_schedule: step}"),
    ),
    "head_hidden": (
        *("head: mlp", "head: linear", "head: [linear, mlp]"),
        *("{choice: [0, 128]}", "{head: mlp}"),
    ),
    "head_init": (
        *("head: linear", "head: mlp", "head: [linear, mlp]"),
        *("{choice: [random, probe]}", "{head: linear}"),
    ),
    "focal_gamma": (
        *("loss: focal", "loss: auto", "loss: [focal, cross_entropy]"),
        *("{float: [1.0, 3.0]}", "{loss: focal}"),
    ),
    "huber_delta": (
        *("loss: huber", "loss: mse", "loss: [huber, mae]"),
        *("{float: [0.5, 2.0]}", "{loss: huber}"),
    ),
    "randaugment_operations": (
        *("augmentation: randaugment", "augmentation: custom", "augmentation: [none, ~]"),
        *("{int: [1, 3]}", "{augmentation: randaugment}"),
    ),
    "randaugment_magnitude": (
        *("augmentation: randaugment", "lr: 1e-3", "augmentation: [light, ~]"),
        *("{int: [1, 3]}", "{augmentation: randaugment}"),
    ),
    **{
        name: (
            *("augmentation: custom", "augmentation: none", "augmentation: [none, light, heavy]"),
            *(varied, "{augmentation: [light, heavy]}"),
        )
        for name, varied in {
            "rotation": "{int: [0, 30]}",
            "scale": "{int: [0, 30]}",
            "crop": "{int: [0, 30]}",
            "flip": "{choice: [none, both]}",
            "colour": "{int: [0, 30]}",
            "erasing": "{float: [0.0, 0.5]}",
        }.items()
    },
    "views": (
        *("augmentation: light", "augmentation: none", "augmentation: [none, light, heavy]"),
        *("{int: [0, 4]}", "{augmentation: [light, heavy]}"),
    ),
    "stochastic_depth": (
        *("backbone: convnext_tiny", BACKBONES, "backbone: [resnet50, convnext_tiny]"),
        *("{float: [0.1, 0.3]}", "{backbone: convnext_tiny}"),
    ),
}
# What `~` stands for: the value that lets it act, as a list's last.
OWN = {
    "head_epochs": "head_then_partial",
    "unfreeze_every": "gradual",
    "randaugment_operations": "randaugment",
    "randaugment_magnitude": "randaugment",
}
# Of another task than one class an image.
DATA_OF = {"huber_delta": "data: {manifest: m.csv, task: regression}\n"}


def _lines(name: str, others: str, written: str) -> str:
    return f"{others.replace('~', OWN.get(name, ''))}\n{name}: {written}"


def _told(loaded: Loaded) -> list[Problem]:
    return [each for each in loaded.warnings if "act" in each.fact or "nothing here" in each.fact]


def test_every_setting_with_a_condition_is_in_the_table() -> None:
    assert {name for name, row in SETTINGS.items() if row.acts or row.lacking} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_setting_that_acts_everywhere_is_passed_over(name: str, space: Space) -> None:
    holds, _, _, varied, _ = TABLE[name]
    data = DATA_OF.get(name, DATA)
    assert _told(space(_lines(name, holds, varied), data=data)) == []


@pytest.mark.parametrize("name", TABLE)
def test_a_setting_that_never_acts_is_warned_of_where_it_is(name: str, space: Space) -> None:
    _, never, _, varied, _ = TABLE[name]
    data = DATA_OF.get(name, DATA)
    lines = _lines(name, never, varied)
    (problem,) = [
        each for each in _told(space(lines, data=data)) if each.fact.startswith(f"{name} ")
    ]
    where = words(SETTINGS[name], SETTINGS)
    assert problem.level == "warning"
    assert problem.fact == f"{name} does nothing here: it acts where {where}"
    assert problem.fix.startswith(f"remove {name}")
    assert problem.place is not None
    assert problem.place.line == len(lines.splitlines()) + 2
    assert problem.place.text[problem.place.column - 1 :].startswith(f"{name}:")


@pytest.mark.parametrize(
    ("task", "name", "fix"),
    [
        pytest.param("multilabel", "focal_gamma", ", or write loss: focal", id="a_loss_of_it"),
        pytest.param("regression", "focal_gamma", "", id="a_loss_of_another"),
        pytest.param("regression", "huber_delta", ", or write loss: huber", id="of_numbers"),
        pytest.param("multilabel", "huber_delta", "", id="of_numbers_alone"),
    ],
)
def test_the_fix_offers_no_loss_that_the_task_refuses(
    task: str, name: str, fix: str, space: Space
) -> None:
    data = f"data: {{manifest: m.csv, task: {task}}}\n"
    (problem,) = _told(space(f"{name}: 5", data=data))
    assert problem.fix == f"remove {name}{fix}"


@pytest.mark.parametrize("name", TABLE)
def test_a_setting_that_is_varied_in_vain_at_some_points_is_told_the_when_it_lacks(
    name: str, space: Space
) -> None:
    _, _, partly, varied, when = TABLE[name]
    data = DATA_OF.get(name, DATA)
    (problem,) = _told(space(_lines(name, partly, varied), data=data))
    assert problem.level == "note"
    assert problem.fact.endswith(f": write when: {when}")
    written = f"{varied[:-1]}, when: {when}}}"
    assert _told(space(_lines(name, partly, written), data=data)) == [], (
        "with it, nothing is left to say"
    )


@pytest.mark.parametrize("name", TABLE)
def test_a_fixed_setting_is_passed_over_where_it_acts_at_some_points(
    name: str, space: Space
) -> None:
    _, never, partly, varied, _ = TABLE[name]
    data = DATA_OF.get(name, DATA)
    value = varied.strip("{}[] ").split("[")[1].split(",")[1].strip("] }")
    assert _told(space(_lines(name, partly, value), data=data)) == []
    assert len(_told(space(_lines(name, never, value), data=data))) == 1


@pytest.mark.parametrize("name", TABLE)
def test_a_default_is_passed_over_wherever_it_is_written(name: str, space: Space) -> None:
    _, never, _, _, _ = TABLE[name]
    data = DATA_OF.get(name, DATA)
    default = SETTINGS[name].default
    assert _told(space(_lines(name, never, f"{default}"), data=data)) == []


@pytest.mark.parametrize(
    ("lines", "facts"),
    [
        pytest.param(
            "batch_norm: train\nbackbone: vit_b_16",
            [
                "batch_norm does nothing here: it acts where unfreeze_depth is 4 or less or "
                "finetune is not partial, and the backbone has batch-norm"
            ],
            id="no_batch_norm_in_the_backbone",
        ),
        pytest.param(
            f"{DEPTHS}\nfinetune: [partial, gradual]\nbatch_norm: [frozen, train]",
            [
                "finetune acts only where unfreeze_depth is 1 or more: write "
                "{choice: [...], when: {unfreeze_depth: {min: 1}}}",
                "batch_norm acts only where unfreeze_depth is 4 or less or finetune is not "
                "partial, and the backbone has batch-norm: write a domain for each of when: "
                "{unfreeze_depth: {max: 4}} and when: {finetune: gradual}",
            ],
            id="either_of_two",
        ),
        pytest.param(
            "backbone: [resnet50, vit_b_16]\noptimiser: [adamw, sgd]\n"
            "momentum: {choice: [0.5, 0.9], when: {backbone: resnet50}}",
            [
                "momentum acts only where optimiser is sgd: write optimiser: sgd in its when",
            ],
            id="a_when_that_says_too_little",
        ),
        pytest.param(
            f"{DEPTHS}\n"
            "finetune: {choice: [partial, head_then_partial], when: {unfreeze_depth: {min: 1}}}\n"
            "head_epochs: [1, 2]",
            [
                "head_epochs acts only where finetune is head_then_partial and unfreeze_depth "
                "is 1 or more: write {choice: [...], when: {finetune: head_then_partial}}"
            ],
            id="the_shortest_when",
        ),
        pytest.param(
            f"optimiser: [adamw, sgd]\n{DEPTHS}\n"
            "layer_decay: [{float: [0.5, 1.0], when: {unfreeze_depth: {max: 1}}}, {value: 1.0}]",
            [
                "layer_decay does nothing here: it acts where unfreeze_depth is 2 or more, and "
                "not where backbone_lr_scale is 0",
            ],
            id="varied_where_it_does_nothing_alone",
        ),
        pytest.param(
            "augmentation: [none, light]\nerasing: {choice: [0, 0.5], when: {optimiser: sgd}}\n"
            "optimiser: {choice: [adamw, sgd], when: {augmentation: light}}",
            [],
            id="a_condition_through_another_setting",
        ),
        pytest.param(
            "unfreeze_depth: {choice: [0, 2], when: {optimiser: sgd}}\noptimiser: [adamw, sgd]\n"
            "backbone_lr_scale: [0.1, 0.5]",
            [],
            id="no_when_can_say_it_of_a_setting_that_has_its_default_where_it_is_inactive",
        ),
    ],
)
def test_what_is_said_of_a_space(lines: str, facts: list[str], space: Space) -> None:
    assert [problem.fact for problem in _told(space(lines))] == facts


def test_more_than_a_handful_are_named_together(space: Space) -> None:
    scale = "{float: [0.1, 1.0]}"
    fixed = "lr: 1e-3\nunfreeze_depth: 0\n" + "".join(
        f"{name}: {text}\n"
        for name, text in {
            "backbone_lr_scale": scale,
            "layer_decay": scale,
            "momentum": "[0.5, 0.8]",
            "step_epochs": "[1, 2]",
            "step_factor": scale,
            "head_hidden": "[1, 2]",
            "focal_gamma": scale,
            "finetune": "gradual",
        }.items()
    )
    told = _told(space(fixed))
    assert [problem.level for problem in told] == ["warning"] * 6
    assert told[-1].fact == "and 3 more do nothing here: head_hidden, focal_gamma, finetune"

    some = fixed.replace("unfreeze_depth: 0", DEPTHS).replace("gradual", "[partial, gradual]")
    some += "optimiser: [adamw, sgd]\nlr_schedule: [step, linear]\nhead: [linear, mlp]\n"
    told = _told(space(some + "loss: [focal, cross_entropy]\n"))
    assert [problem.level for problem in told] == ["note"] * 6
    assert told[-1].fact == "and 3 more act in a part alone: head_hidden, focal_gamma, finetune"
    assert all(problem.place is not None and not problem.place.text for problem in told)


@pytest.mark.parametrize(
    ("value", "flagged"),
    [
        pytest.param("[0.5, 0.8]", "momentum does nothing here", id="varied_in_vain"),
        pytest.param("0.5", None, id="fixed_for_other_spaces"),
    ],
)
def test_of_an_extended_file_only_what_is_varied_in_vain_is_told(
    value: str, flagged: str | None, tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text(f"space:\n  momentum: {value}\n")
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"extends: {tmp_path}/base.yaml\ndata: {{sample: solar-cells}}\n"
        "space:\n  lr: [1e-3, 1e-2]\n"
    )
    told = _told(load_space(file, SpaceFlags(), env={}, images=False))
    assert [problem.fact.partition(":")[0] for problem in told] == ([flagged] if flagged else [])


def test_a_flag_that_leaves_a_setting_nothing_to_do_is_told_of(read: Read) -> None:
    text = f"{DATA}space:\n  optimiser: [adamw, sgd]\n  momentum: [0.5, 0.8]\n"
    flag = Override(path="space.optimiser", text="adamw", flag="--set space.optimiser=adamw")
    assert [each.level for each in _told(read(text, overrides=[flag]))] == ["warning"]


def test_what_is_told_leaves_the_study_as_it_was(read: Read) -> None:
    """A study is known by its space: what is said of one is no part of it."""
    text = f"{DATA}space:\n  momentum: [0.5, 0.8]\n  optimiser: adamw\n"
    silent = {name: _silent(name) for name in SETTINGS}
    spec = load(text, file="s.yaml", settings=silent, sizes=SIZES, env={}).spec
    loaded = read(text)
    assert len(_told(loaded)) == 1
    assert loaded.spec == spec
    assert identity(to_document(loaded.spec)) == identity(to_document(spec))


def _silent(name: str) -> Setting:
    return replace(SETTINGS[name], acts=(), rests=(), below="", lacking=())


def test_the_files_that_are_shipped_name_no_setting_in_vain() -> None:
    files = [
        *(ROOT / "spaces").glob("*.yaml"),
        *(ROOT / "search" / "presets").glob("*.yaml"),
        *(ROOT / "benchmarks").glob("*.yaml"),
    ]
    assert len(files) == 5
    for file in files:
        flags = SpaceFlags(sets=("data.sample=solar-cells",))
        assert _told(load_space(file, flags, env={}, images=False)) == [], file
