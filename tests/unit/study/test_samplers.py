"""Which points are drawn, and which never are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from search.space.domains import (
    Branch,
    Choice,
    Condition,
    Domain,
    FloatRange,
    IntRange,
    Param,
    Space,
)
from search.space.points import check_point
from search.space.spec import StudySpec
from search.study.samplers import Drawn, Proposer, distribution_of, key

Specify = Callable[..., StudySpec]


def param(name: str, *domains: Domain, when: str = "") -> Param:
    """Branch i holds where ``when`` is i; the last always."""
    branches = [
        Branch(domain=domain, when=(Condition(param=when, values=(index,)),))
        for index, domain in enumerate(domains[:-1])
    ]
    return Param(name=name, branches=(*branches, Branch(domain=domains[-1])))


MIXED = Space(
    params=(
        param("depth", IntRange(low=0, high=2)),
        param("width", IntRange(low=1, high=64, log=True)),
        param("size", IntRange(low=32, high=100, step=32)),
        param("rate", FloatRange(low=0.1, high=10.0, log=True, steps=3)),
        param("decay", FloatRange(low=0.0, high=0.1), FloatRange(low=0.5, high=1.0), when="depth"),
        param(
            "policy",
            Choice(choices=("none",)),
            Choice(choices=("none", "light")),
            Choice(choices=("heavy", "light")),
            when="depth",
        ),
    )
)


def draw(proposer: Proposer, trials: int, value: Callable[[Drawn], float]) -> list[Drawn]:
    drawn: list[Drawn] = []
    for number in range(trials):
        one = proposer.propose(number, {key(each.point) for each in drawn})
        if one is None:
            break
        drawn.append(one)
        proposer.remember(number, one.params, one.distributions)
        proposer.settle(number, TrialState.COMPLETE, value(one), {1: value(one)})
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_every_draw_is_an_active_point_on_its_steps(specify: Specify, sampler: str) -> None:
    drawn = draw(
        Proposer(specify(space=MIXED, sampler=sampler)), 40, lambda one: float(one.point["decay"])
    )
    assert len(drawn) == 40
    assert [reason for one in drawn for reason in check_point(MIXED, one.point)] == []
    assert {one.point["policy"] for one in drawn} == {"none", "light", "heavy"}
    assert {one.point["size"] for one in drawn} == {32, 64, 96}


def test_tpe_goes_where_the_objective_is_better(specify: Specify) -> None:
    space = Space(params=(param("x", FloatRange(low=0.0, high=1.0)),))
    drawn = draw(
        Proposer(specify(space=space, sampler="tpe")),
        40,
        lambda one: -abs(float(one.point["x"]) - 0.8),
    )
    late = [abs(float(one.point["x"]) - 0.8) for one in drawn[20:]]
    assert sum(late) / len(late) < 0.15  # 0.34 for a uniform draw


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_finite_space_is_drawn_without_repeats_and_then_exhausted(
    specify: Specify, sampler: str
) -> None:
    space = Space(
        params=(param("a", IntRange(low=0, high=2)), param("b", Choice(choices=(1, True, "1"))))
    )
    drawn = draw(Proposer(specify(space=space, sampler=sampler)), 20, lambda _: 0.5)
    assert len({key(one.point) for one in drawn}) == len(drawn) == 9


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_numbers_and_seeds_give_different_points(specify: Specify, sampler: str) -> None:
    one = draw(Proposer(specify(sampler=sampler)), 8, lambda _: 0.5)
    same = draw(Proposer(specify(sampler=sampler)), 8, lambda _: 0.5)
    other = draw(Proposer(specify(sampler=sampler, seed=8)), 8, lambda _: 0.5)
    assert one == same
    rates = [each.point["lr"] for each in (*one, *other) if "lr" in each.point]
    assert len(rates) > 8
    assert len(set(rates)) == len(rates)


def test_failed_trials_teach_nothing(specify: Specify) -> None:
    def tenth(state: TrialState | None) -> Drawn:
        proposer = Proposer(specify(sampler="tpe"))
        for number in range(12):
            one = proposer.propose(number, set())
            assert one is not None
            if number % 2 and state is None:
                continue  # as if those trials had never been
            proposer.remember(number, one.params, one.distributions)
            value = None if number % 2 else number / 12
            ended = (state or TrialState.COMPLETE) if number % 2 else TrialState.COMPLETE
            proposer.settle(number, ended, value, {})
        drawn = proposer.propose(12, set())
        assert drawn is not None
        return drawn

    assert tenth(TrialState.FAIL) == tenth(None)


def test_a_choice_is_stored_as_one_of_all_branches_choices() -> None:
    policy = MIXED["policy"]
    stored = [distribution_of(policy, branch.domain) for branch in policy.branches]
    assert stored == [CategoricalDistribution(("none", "light", "heavy"))] * 3


def test_the_last_step_of_an_int_may_fall_short_of_high() -> None:
    size = MIXED["size"]
    assert distribution_of(size, size.branches[0].domain) == IntDistribution(32, 96, step=32)
