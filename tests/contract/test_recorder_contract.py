"""What every storage must do for the recorder: one suite, each real storage.

A crash is the loss of the recorder object: nothing is closed or told. The next
one opens the same storage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage

from search.problems import Exit, SearchError
from search.space.domains import (
    Branch,
    Choice,
    Condition,
    Fixed,
    FloatRange,
    IntRange,
    Param,
    Space,
)
from search.space.settings import Value
from search.space.spec import Budget, DataSpec, SamplerSpec, StudySpec
from search.study.opening import StudyFacts, open_in
from search.study.record import Recorder
from search.study.records import FailReason, Outcome, State
from search.study.storage import connect
from search.study.transactions import closed

SPACE = Space(
    params=(
        Param(name="backbone", branches=(Branch(domain=Choice(choices=("small", "large"))),)),
        Param(name="unfreeze_depth", branches=(Branch(domain=IntRange(low=0, high=5)),)),
        Param(name="batch_size", branches=(Branch(domain=Fixed(value=16)),)),
        Param(
            name="backbone_lr_scale",
            branches=(
                Branch(
                    domain=FloatRange(low=1e-3, high=1.0, log=True),
                    when=(Condition(param="unfreeze_depth", min=1),),
                ),
            ),
        ),
        Param(
            name="augmentation",
            branches=(
                Branch(
                    domain=Choice(choices=("none", "light")),
                    when=(Condition(param="backbone", values=("small",)),),
                ),
                Branch(domain=Choice(choices=("light", "heavy", "medium"))),
            ),
        ),
    )
)
FIRST: tuple[tuple[str, Value], ...] = (
    ("backbone", "large"),
    ("unfreeze_depth", 0),
    ("batch_size", 16),
    ("augmentation", "heavy"),
)
FACTS = StudyFacts(
    fingerprint="f" * 64,
    counts={"train": 6, "val": 2, "test": 2},
    classes=("a", "b"),
    backbones=("small", "large"),
    weights={"small": "s", "large": "l"},
    versions={"search": "0"},
)
COMPLETE = Outcome(state=State.COMPLETE, why="reached the last epoch")


def spec(
    *,
    space: Space = SPACE,
    sampler: str = "random",
    seed: int = 7,
    trials: int = 20,
    first: tuple[tuple[tuple[str, Value], ...], ...] = (FIRST,),
) -> StudySpec:
    return StudySpec(
        name="study",
        seed=seed,
        data=DataSpec(path="images"),
        space=space,
        first=first,
        sampler=SamplerSpec(name=sampler, startup_trials=3),  # type: ignore[arg-type]
        budget=Budget(trials=trials),
    )


Open = Callable[[StudySpec], Recorder]


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)],
)
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the study anew each time, as a new driver does."""
    memory = optuna.storages.InMemoryStorage()
    opened: list[BaseStorage] = []
    url = f"sqlite:///{tmp_path}/folder/studies.db"
    if request.param == "postgres":
        url = request.getfixturevalue("server").new_database()

    def storage() -> BaseStorage:
        if request.param == "memory":
            return memory
        opened.append(connect(url))
        return opened[-1]

    yield lambda wanted: open_in(storage(), wanted, FACTS, url=url)
    for each in opened:
        closed(each)


def run_one(recorder: Recorder, values: list[float], outcome: Outcome = COMPLETE) -> int:
    asked = recorder.ask()
    assert asked is not None
    for epoch, value in enumerate(values, start=1):
        recorder.report(asked.number, epoch, value, {"metrics": {"loss": 1.0}, "host": "h"})
    recorder.settle(asked.number, outcome)
    return asked.number


@pytest.mark.slow
def test_the_first_points_are_tried_first_and_once_ever(open_again: Open) -> None:
    first = open_again(spec()).ask()
    assert first is not None
    assert dict(first.point) == dict(FIRST)
    second = open_again(spec())  # the first driver is gone; its trial waits
    again = second.ask()
    assert again is not None
    assert again.number == first.number
    second.report(again.number, 1, 0.5, {})
    second.settle(again.number, COMPLETE)
    points = [open_again(spec()).ask() for _ in range(2)]
    assert [asked.number for asked in points if asked] == [1, 1]
    assert second.default_number == 0


def test_complete_has_the_best_epoch_not_the_last(open_again: Open) -> None:
    recorder = open_again(spec())
    run_one(recorder, [0.3, 0.9, 0.5])
    trial = recorder.view().trials[0]
    assert (trial.state, trial.best_value, trial.best_epoch) == (State.COMPLETE, 0.9, 2)
    assert dict(trial.curve) == {1: 0.3, 2: 0.9, 3: 0.5}
    assert trial.attributes["best_value"] == 0.9
    assert trial.attributes["host"] == "h"


@pytest.mark.slow
def test_pruned_keeps_its_curve_its_best_epoch_and_its_reason(open_again: Open) -> None:
    recorder = open_again(spec())
    why = "rung 1: 0.300 < 0.500, the cutoff of 2 earlier trials"
    run_one(recorder, [0.9, 0.3], Outcome(state=State.PRUNED, why=why))
    trial = open_again(spec()).view().trials[0]
    assert (trial.state, trial.best_value, trial.best_epoch) == (State.PRUNED, 0.9, 1)
    assert trial.why == why


@pytest.mark.slow
@pytest.mark.parametrize("reason", list(FailReason))
def test_a_failure_has_its_reason_and_is_no_value_for_the_sampler(
    open_again: Open, reason: FailReason
) -> None:
    recorder = open_again(spec())
    outcome = Outcome(state=State.FAILED, reason=reason, why="it broke", detail="trace\nback")
    run_one(recorder, [], outcome)
    trial = recorder.view().trials[0]
    assert (trial.state, trial.reason, trial.why) == (State.FAILED, reason, "it broke")
    assert trial.attributes["detail"] == "trace\nback"
    assert recorder.view().ranked() == ()


def test_reporting_and_settling_again_changes_nothing(open_again: Open) -> None:
    recorder = open_again(spec())
    number = run_one(recorder, [0.4, 0.6])
    before = recorder.view()
    recorder.report(number, 2, 0.1, {})
    recorder.settle(number, COMPLETE)
    assert recorder.view() == before


@pytest.mark.slow
def test_a_settled_trial_cannot_be_settled_otherwise(open_again: Open) -> None:
    recorder = open_again(spec())
    number = run_one(recorder, [0.4])
    with pytest.raises(ValueError, match="settled as COMPLETE"):
        recorder.settle(number, Outcome(state=State.PRUNED, why="late"))


@pytest.mark.slow
def test_nan_is_refused_and_leaves_no_zombie(open_again: Open) -> None:
    recorder = open_again(spec())
    asked = recorder.ask()
    assert asked is not None
    with pytest.raises(ValueError, match="value=nan at epoch=1"):
        recorder.report(asked.number, 1, math.nan, {})
    recorder.settle(
        asked.number, Outcome(state=State.FAILED, reason=FailReason.DIVERGED, why="nan")
    )
    assert recorder.view().counts()[State.RUNNING] == 0


def test_an_interrupted_trial_goes_on_under_its_number_with_params_and_curve(
    open_again: Open,
) -> None:
    recorder = open_again(spec())
    run_one(recorder, [0.5])
    asked = recorder.ask()
    assert asked is not None
    recorder.report(asked.number, 1, 0.25, {})
    started = recorder.view().trials[1].started
    recorder.interrupt(asked.number)
    assert recorder.view().counts()[State.WAITING] == 1
    again = open_again(spec()).ask()
    assert again is not None
    assert (again.number, dict(again.curve)) == (asked.number, {1: 0.25})
    assert dict(again.point) == dict(asked.point)
    assert open_again(spec()).view().trials[1].started == started


@pytest.mark.slow
def test_trials_of_a_dead_driver_wait_again(open_again: Open) -> None:
    dead = open_again(spec())
    numbers = [asked.number for asked in (dead.ask(), dead.ask(), dead.ask()) if asked]
    view = open_again(spec()).view()
    assert [trial.state for trial in view.trials] == [State.WAITING] * 3
    assert [trial.number for trial in view.trials] == numbers


@pytest.mark.slow
def test_inactive_params_are_no_parameters_of_the_trial(open_again: Open) -> None:
    recorder = open_again(spec(trials=40))
    for _ in range(30):
        asked = recorder.ask()
        assert asked is not None
        assert ("backbone_lr_scale" in asked.point) == (int(asked.point["unfreeze_depth"]) >= 1)
        allowed = {"small": {"none", "light"}, "large": {"light", "heavy", "medium"}}
        assert asked.point["augmentation"] in allowed[str(asked.point["backbone"])]
        assert asked.point["batch_size"] == 16
        recorder.report(asked.number, 1, 0.5, {})
        recorder.settle(asked.number, COMPLETE)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_going_on_proposes_what_an_uninterrupted_run_would_have(
    open_again: Open, sampler: str
) -> None:
    whole = open_in(optuna.storages.InMemoryStorage(), spec(sampler=sampler, trials=8), FACTS)
    expected = []
    for value in range(8):
        asked = whole.ask()
        assert asked is not None
        expected.append(dict(asked.point))
        whole.report(asked.number, 1, value / 8, {})
        whole.settle(asked.number, COMPLETE)
    seen = []
    for value in range(8):
        recorder = open_again(spec(sampler=sampler, trials=8))  # killed after every trial
        asked = recorder.ask()
        assert asked is not None
        seen.append(dict(asked.point))
        recorder.report(asked.number, 1, value / 8, {})
        recorder.settle(asked.number, COMPLETE)
    assert seen == expected
    assert len({tuple(sorted(map(str, point.items()))) for point in seen}) > 4


@pytest.mark.slow
def test_a_grid_is_walked_once_and_ends(open_again: Open) -> None:
    space = Space(
        params=(
            Param(name="unfreeze_depth", branches=(Branch(domain=IntRange(low=0, high=1)),)),
            Param(
                name="lr",
                branches=(
                    Branch(
                        domain=FloatRange(low=0.1, high=10.0, log=True, steps=3),
                        when=(Condition(param="unfreeze_depth", values=(1,)),),
                    ),
                ),
            ),
        )
    )
    # 0 alone, and 1 with three rates; the first point is one of them
    wanted = spec(space=space, sampler="grid", first=((("unfreeze_depth", 0),),))
    points = []
    for _ in range(4):
        recorder = open_again(wanted)
        asked = recorder.ask()
        assert asked is not None
        points.append(dict(asked.point))
        recorder.report(asked.number, 1, 0.5, {})
        recorder.settle(asked.number, COMPLETE)
    assert points[0] == {"unfreeze_depth": 0}
    assert sorted(point["lr"] for point in points[1:]) == pytest.approx([0.1, 1.0, 10.0])
    assert "exhausted" not in open_again(wanted).view().attributes
    assert open_again(wanted).ask() is None
    assert open_again(wanted).view().attributes["exhausted"] is True  # the next run knows


@pytest.mark.slow
def test_the_budget_may_change_but_the_space_may_not(open_again: Open) -> None:
    open_again(spec(trials=5))
    assert open_again(spec(trials=9)).spec.budget.trials == 9
    with pytest.raises(SearchError) as caught:
        open_again(spec(seed=8))
    assert caught.value.status is Exit.CONFLICT
    text = str(caught.value)
    assert "seed" in text
    assert "7" in text
    assert "8" in text
    assert "--name study-2" in text


@pytest.mark.slow
def test_other_images_under_the_same_name_are_refused(open_again: Open) -> None:
    recorder = open_again(spec())
    other = StudyFacts(
        fingerprint="0" * 64,
        counts=FACTS.counts,
        classes=FACTS.classes,
        backbones=FACTS.backbones,
        weights=FACTS.weights,
        versions=FACTS.versions,
    )
    with pytest.raises(SearchError, match="the images, labels or split changed"):
        open_in(recorder._storage, spec(), other)


@pytest.mark.slow
def test_wall_time_adds_up_over_runs(open_again: Open) -> None:
    open_again(spec()).add_seconds(2.5)
    open_again(spec()).add_seconds(1.5)
    assert open_again(spec()).view().attributes["seconds"] == 4.0
