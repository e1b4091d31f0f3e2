"""What a right space file means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.space import Loaded
from search.space.domains import Branch, Choice, Condition, Domain, Fixed, FloatRange, IntRange
from search.space.spec import (
    Budget,
    DataSpec,
    Epochs,
    Resources,
    SamplerSpec,
    SchedulerSpec,
    SplitSpec,
    WeightsFile,
)

FULL = """\
study: {name: solar-cells, seed: 7}
data:
  manifest: cells.csv
  split: {val: 0.1, test: 0.3, seed: 2}
  max_images: 500
  max_bad: 3
objective: loss
epochs: {min: 2, max: 18}
space:
  backbone: [resnet50, vit_b_16]
  unfreeze_depth: {int: [0, 5]}
  lr: {float: [3e-4, 3e-2], log: true}
  backbone_lr_scale: {float: [3e-3, 0.5], log: true, when: {unfreeze_depth: {min: 1}}}
  weight_decay:
    - {float: [1e-6, 1e-2], log: true, when: {backbone: [resnet50]}}
    - {float: [1e-5, 1e-1], log: true}
  augmentation: [none, light]
  batch_size: 32
first: [default, {backbone: vit_b_16, unfreeze_depth: 0}]
weights:
  source: random
  unavailable: skip
  files:
    vit_b_16: w.safetensors
    resnet50: {file: r.pth, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}
sampler: {name: random, startup_trials: 3}
scheduler: {name: none, reduction_factor: 4}
budget: {trials: 32, minutes: 1.5}
resources: {cpus_per_trial: 2, gpus_per_trial: 0.5, concurrency: 4, minutes_per_epoch: 1.5}
storage: postgresql://me@host/db
checkpoints: {dir: out, keep: 5}
"""


def test_a_full_file_is_read_whole(read: Callable[..., Loaded]) -> None:
    loaded = read(FULL)
    spec = loaded.spec
    assert loaded.warnings == ()
    assert (spec.name, spec.seed) == ("solar-cells", 7)
    assert spec.data == DataSpec(
        manifest="cells.csv",
        split=SplitSpec(val=0.1, test=0.3, seed=2),
        max_images=500,
        max_bad=3,
    )
    assert (spec.objective, spec.direction) == ("loss", "minimize")
    assert spec.epochs == Epochs(min=2, max=18)
    assert spec.weights.files == (
        ("resnet50", WeightsFile(file="r.pth", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))),
        ("vit_b_16", WeightsFile(file="w.safetensors")),
    )
    assert (spec.weights.source, spec.weights.unavailable) == ("random", "skip")
    assert spec.sampler == SamplerSpec(name="random", startup_trials=3)
    assert spec.scheduler == SchedulerSpec(name="none", reduction_factor=4)
    assert spec.budget == Budget(trials=32, minutes=1.5)
    assert spec.resources == Resources(
        cpus_per_trial=2.0, gpus_per_trial=0.5, concurrency=4, minutes_per_epoch=1.5
    )
    assert spec.storage == "postgresql://me@host/db"
    assert (spec.checkpoints.dir, spec.checkpoints.keep) == ("out", 5)
    assert dict(spec.first[1]) == {
        "backbone": "vit_b_16",
        "unfreeze_depth": 0,
        "lr": 1e-3,
        "weight_decay": 1e-2,
        "augmentation": "light",
        "batch_size": 32,
    }


def test_what_is_not_named_has_its_default(read: Callable[..., Loaded]) -> None:
    spec = read("data: {sample: solar-cells}\nspace: {lr: {float: [1e-4, 1e-2]}}").spec
    assert spec.data == DataSpec(sample="solar-cells")
    assert spec.epochs == Epochs()
    assert spec.budget == Budget(trials=20)
    assert spec.resources == Resources()
    assert spec.storage == "sqlite:///studies/studies.db"
    assert (spec.default_first, spec.first) == (True, ((("lr", 1e-3),),))


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        pytest.param("dropout: 0", Fixed(value=0.0), id="whole_number_for_a_float"),
        pytest.param("batch_size: 8", Fixed(value=8), id="plain"),
        pytest.param("batch_size: {value: 8}", Fixed(value=8), id="value"),
        pytest.param("batch_size: [8, 16]", Choice(choices=(8, 16)), id="list"),
        pytest.param("batch_size: {choice: [8, 16]}", Choice(choices=(8, 16)), id="choice"),
        pytest.param("lr: [1, 1e-3]", Choice(choices=(1.0, 1e-3)), id="floats"),
        pytest.param("batch_size: {int: [8, 64]}", IntRange(low=8, high=64), id="int"),
        pytest.param(
            "batch_size: {int: [8, 64], step: 8}", IntRange(low=8, high=64, step=8), id="step"
        ),
        pytest.param(
            "batch_size: {int: [8, 64], log: true}", IntRange(low=8, high=64, log=True), id="log"
        ),
        pytest.param("dropout: {float: [0, 0.5]}", FloatRange(low=0.0, high=0.5), id="float"),
        pytest.param(
            "lr: {float: [1e-4, 1e-2], log: true, steps: 3}",
            FloatRange(low=1e-4, high=1e-2, log=True, steps=3),
            id="steps",
        ),
        pytest.param("lr: {float: [1e-4, 1e-4]}", FloatRange(low=1e-4, high=1e-4), id="one_point"),
        pytest.param("augmentation: 'none'", Fixed(value="none"), id="quoted"),
    ],
)
def test_every_form_of_a_domain_is_read(
    written: str, domain: Domain, space: Callable[..., Loaded]
) -> None:
    (param,) = space(written).spec.space.params
    assert param.branches == (Branch(domain=domain),)
    assert type(getattr(domain, "value", 0)) is type(getattr(param.branches[0].domain, "value", 0))


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        pytest.param("{batch_size: 8}", {"values": (8,)}, id="one_value"),
        pytest.param("{batch_size: [8, 16]}", {"values": (8, 16)}, id="values"),
        pytest.param("{batch_size: {min: 9}}", {"min": 9.0}, id="min"),
        pytest.param("{batch_size: {min: 9, max: 20}}", {"min": 9.0, "max": 20.0}, id="both"),
    ],
)
def test_every_form_of_a_condition_is_read(
    written: str, condition: dict[str, Any], space: Callable[..., Loaded]
) -> None:
    loaded = space(f"batch_size: [8, 16, 32]\nlr: {{float: [1e-4, 1e-2], when: {written}}}")
    branch = loaded.spec.space["lr"].branches[0]
    assert branch.when == (Condition(param="batch_size", **condition),)


def test_a_param_comes_after_what_it_depends_on(space: Callable[..., Loaded]) -> None:
    loaded = space(
        "lr: {float: [1e-4, 1e-2], when: {dropout: {min: 0.1}}}\n"
        "dropout: {float: [0, 0.5], when: {batch_size: 8}}\n"
        "views: [1, 2]\n"
        "batch_size: [8, 16]"
    )
    assert [param.name for param in loaded.spec.space.params] == [
        "views",
        "batch_size",
        "dropout",
        "lr",
    ]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("spaces/vision.yaml", "vision"),
        ("a b.yaml", "a-b"),
        ("-.yaml", "study"),
        ("é.yaml", "study"),
        ("x" * 99 + ".yaml", "x" * 64),
    ],
)
def test_a_study_without_a_name_is_named_after_its_file(
    file: str, name: str, read: Callable[..., Loaded]
) -> None:
    assert read("data: {path: x}\nspace: {lr: [1, 2]}", file=file).spec.name == name


def test_a_number_is_a_name(read: Callable[..., Loaded]) -> None:
    text = "study: {name: 2024}\ndata: {path: 17}\nspace: {lr: [1, 2]}"
    assert (read(text).spec.name, read(text).spec.data.path) == ("2024", "17")


def test_a_budget_of_minutes_alone_has_no_limit_on_trials(read: Callable[..., Loaded]) -> None:
    spec = read("data: {path: x}\nspace: {lr: [1, 2]}\nbudget: {minutes: 5}").spec
    assert spec.budget == Budget(trials=None, minutes=5.0)


def test_a_study_may_end_for_want_of_a_better_trial_alone(read: Callable[..., Loaded]) -> None:
    spec = read("data: {path: x}\nspace: {lr: [1, 2]}\nbudget: {stop_after: 8}").spec
    assert spec.budget == Budget(trials=None, stop_after=8)


def test_the_storage_is_filled_in_from_the_environment(read: Callable[..., Loaded]) -> None:
    text = "data: {path: x}\nspace: {lr: [1, 2]}\nstorage: 'postgresql://me:${env:PW}@h/db'"
    assert read(text, env={"PW": "s3"}).spec.storage == "postgresql://me:s3@h/db"


def test_a_size_of_0_fits_every_backbone(space: Callable[..., Loaded]) -> None:
    assert space("backbone: [vit_b_16, alexnet]\nimage_size: [0, 64]").spec


def test_sizes_are_checked_only_where_the_backbone_meets_them(
    space: Callable[..., Loaded],
) -> None:
    loaded = space(
        "backbone: [vit_b_16, resnet50]\n"
        "image_size:\n"
        "  - {choice: [32, 48], when: {backbone: vit_b_16}}\n"
        "  - {choice: [33, 50]}"
    )
    assert len(loaded.spec.space["image_size"].branches) == 2


def test_a_space_that_leaves_nothing_to_search_is_said(space: Callable[..., Loaded]) -> None:
    (warning,) = space("lr: 1e-3").warnings
    assert "leaves nothing to search" in warning.fact
    assert space("lr: 1e-3", "budget: {trials: 1}").warnings == ()


def test_a_grid_larger_than_the_budget_is_said(space: Callable[..., Loaded]) -> None:
    more = "first: []\nsampler: {name: grid}\nbudget: {trials: 5}\n"
    (warning,) = space("views: [1, 2, 3]\nbatch_size: [8, 16]", more).warnings
    assert warning.fact == "the grid has 6 points, the budget is 5 trials"
    assert space("views: [1, 2, 3]", more).warnings == ()
    (warning,) = space("views: {int: [1, 90000]}", more).warnings
    assert warning.fact == "the grid has at least 2,000 points, the budget is 5 trials"


def test_the_shipped_spaces_are_read_without_a_problem() -> None:
    from search.backbones.catalogue import sizes
    from search.space import load
    from search.training.config import SETTINGS

    folder = Path(__file__).parents[3] / "spaces"
    files = sorted(folder.glob("*.yaml"))
    assert [file.name for file in files] == ["quick.yaml", "vision.yaml"]
    for file in files:
        text = file.read_text()
        loaded = load(text, file=str(file), settings=SETTINGS, sizes=sizes(), env={})
        assert text.startswith("# yaml-language-server: $schema=../schema/space.schema.json\n")
        assert f"search run spaces/{file.name}" in text
        assert loaded.spec.default_first
        assert len(loaded.spec.first) == 2
        assert len(loaded.warnings) == (file.name == "quick.yaml")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(
            "lr: [3e-4, 3e-2]",
            ["lr: two choices; a range is {float: [0.0003, 0.03], log: true}"],
            id="two_numbers",
        ),
        pytest.param(
            "dropout: [0.3, 0.1]",
            ["dropout: two choices; a range is {float: [0.1, 0.3]}"],
            id="without_log",
        ),
        pytest.param("mixup: [0, 0.2]", [], id="off_and_on"),
        pytest.param("lr: {choice: [3e-4, 3e-2]}", [], id="said_outright"),
        pytest.param("lr: [3e-4, 3e-3, 3e-2]", [], id="three"),
        pytest.param("batch_size: [16, 64]", [], id="whole_numbers"),
    ],
)
def test_two_numbers_that_look_like_a_range_are_noted(
    space: Callable[..., Loaded], line: str, said: list[str]
) -> None:
    notes = [each for each in space(line).warnings if "two choices" in each.fact]
    assert [each.fact for each in notes] == said
    assert {each.level for each in notes} <= {"note"}
