"""``epochs.min`` by default: when every trial of a space is as deep as it will be."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from search.problems import SearchError
from search.space import Loaded, Override, load
from search.space.full_depth import latest
from search.space.spec import Epochs, PatienceSpec
from search.training.config import SETTINGS
from search.training.phases import full_depth_of
from tests.unit.space.conftest import DATA, SIZES

LR = "  lr: {float: [1e-4, 1e-2], log: true}\n"


def _read(space: str, top: str = "", overrides: Sequence[Override] = ()) -> Loaded:
    return load(
        f"{DATA}{top}space:\n{LR}" + "".join(f"  {line}\n" for line in space.splitlines()),
        file="s.yaml",
        settings=SETTINGS,
        sizes=SIZES,
        env={},
        overrides=overrides,
        full_depth=full_depth_of,
    )


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        pytest.param("unfreeze_depth: 5", 1, id="partial"),
        pytest.param("finetune: head_then_partial", 2, id="one_epoch_of_the_head"),
        pytest.param("finetune: head_then_partial\nhead_epochs: 3", 4, id="three_of_the_head"),
        pytest.param("finetune: head_then_partial\nunfreeze_depth: 0", 1, id="head_alone"),
        # 2 blocks, one every 3 epochs: the first after epoch 3, the second after epoch 6
        pytest.param("finetune: gradual\nunfreeze_depth: 2\nunfreeze_every: 3", 7, id="gradual"),
        pytest.param(
            "finetune: [partial, gradual]\nunfreeze_depth: {int: [0, 4]}", 5, id="largest_of_all"
        ),
        pytest.param(
            "finetune: [partial, gradual]\n"
            "unfreeze_depth:\n"
            "  - {int: [0, 2], when: {finetune: gradual}}\n"
            "  - {int: [0, 5]}",
            3,  # 5 blocks are never unfrozen one by one
            id="conditions_hold",
        ),
        pytest.param(
            "finetune: [partial, head_then_partial]\n"
            "head_epochs: {int: [2, 6], when: {finetune: head_then_partial}}",
            7,
            id="only_where_it_is_active",
        ),
    ],
)
def test_it_is_the_first_epoch_at_which_all_are(space: str, expected: int) -> None:
    assert _read(space).spec.epochs == Epochs(min=expected, max=10)
    assert not [each for each in _read(space).warnings if "epoch" in each.fact]


def test_a_min_that_is_written_is_kept_and_one_that_is_too_early_is_warned_of() -> None:
    gradual = "finetune: gradual\nunfreeze_depth: 3"
    assert _read(gradual, "epochs: {max: 12}\n").spec.epochs == Epochs(min=4, max=12)
    later = _read(gradual, "epochs: {min: 6, max: 12}\n")
    assert (later.spec.epochs.min, later.warnings) == (6, ())
    early = _read(gradual, "epochs: {min: 2, max: 12}\n")
    assert early.spec.epochs.min == 2
    (warning,) = early.warnings
    assert warning.fact == (
        "trials are compared from epoch 2 on, and finetune: gradual with unfreeze_depth: 3 and "
        "unfreeze_every: 1 is at its final depth from epoch 4: it is judged on less than it will be"
    )
    assert warning.place is not None
    assert warning.place.text[warning.place.column - 1] == "2"
    alone = _read(gradual, "epochs: {min: 2, max: 12}\nscheduler: {name: none}\n")
    assert not alone.warnings  # nothing is compared


def test_a_depth_that_no_trial_would_reach_is_refused_where_max_stands() -> None:
    with pytest.raises(SearchError) as caught:
        _read("finetune: gradual\nunfreeze_depth: 5\nunfreeze_every: 2", "epochs: {max: 9}\n")
    (problem,) = caught.value.problems
    assert problem.fact == (
        "finetune: gradual with unfreeze_depth: 5 and unfreeze_every: 2 is at its final depth "
        "from epoch 11, epochs.max is 9"
    )
    assert problem.place is not None
    assert problem.place.text == "epochs: {max: 9}"
    with pytest.raises(SearchError, match=r"epochs\.max is 10"):  # the default; told at finetune
        _read("finetune: head_then_partial\nhead_epochs: 10")


def test_a_space_of_very_many_combinations_is_judged_by_its_largest_values_at_once() -> None:
    began = time.process_time()
    many = _read(
        "finetune: [partial, head_then_partial, gradual]\n"
        "unfreeze_depth: {int: [0, 3]}\n"
        "unfreeze_every: {int: [1, 1000]}\n"
        "head_epochs: {int: [1, 1000]}",
        "epochs: {max: 5000}\n",
    )
    assert many.spec.epochs.min == 3 * 1000 + 1
    assert time.process_time() - began < 1.0
    last = latest(many.spec.space, SETTINGS, full_depth_of)
    assert last.values["unfreeze_every"] == 1000


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("", None, id="absent"),
        pytest.param("patience: {}\n", PatienceSpec(metric="loss", epochs=5), id="defaults"),
        pytest.param(
            "patience: {metric: objective, epochs: 2}\n",
            PatienceSpec(metric="objective", epochs=2),
            id="both",
        ),
    ],
)
def test_patience_is_read(written: str, expected: PatienceSpec | None) -> None:
    assert _read("", written).spec.patience == expected


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("patience: 3", "4:11: patience is 3, not a mapping | {metric: loss, epochs: 5} | 3"),
        (
            "patience: {metric: accuracy}",
            "4:20: patience.metric: 'accuracy' is not known | one of loss, objective",
        ),
        ("patience: {epochs: 0}", "4:20: patience.epochs"),
    ],
)
def test_a_wrong_patience_is_told_at_its_place(
    written: str, problem: str, problems: Callable[..., list[str]]
) -> None:
    (found,) = problems(f"{DATA}space:\n{LR}{written}\n")
    assert found.startswith(problem)
