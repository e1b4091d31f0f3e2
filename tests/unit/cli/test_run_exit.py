"""What a run ends with, from its record alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from search.cli.final_view import final_lines
from search.cli.run_end import final_document
from search.cli.run_exit import exit_status
from search.problems import Exit, SearchError
from search.space.domains import Space
from search.space.spec import Budget, DataSpec, StudySpec
from search.study.records import EXHAUSTED, FailReason, State, StudyView, TrialView
from search.tuning.driver import RunEnd

SPEC = StudySpec(
    name="solar-cells",
    data=DataSpec(path="images"),
    space=Space(params=()),
    budget=Budget(trials=3),
)


def study_of(view: StudyView, failures: Sequence[FailReason]) -> StudyView:
    """Only failed trials, one for each reason; each had a value before it failed."""
    first: TrialView = view.trials[0]
    trials = tuple(
        replace(first, number=number, state=State.FAILED, reason=reason, why=f"why {number}")
        for number, reason in enumerate(failures)
    )
    return replace(view, trials=trials)


@pytest.mark.parametrize(
    ("failures", "fact", "number"),
    [
        pytest.param(
            [FailReason.ERROR],
            "the only trial that settled failed, so there is no model: error (why 0)",
            0,
            id="one",
        ),
        pytest.param(
            [FailReason.DIVERGED, FailReason.ERROR, FailReason.ERROR],
            "all 3 trials that settled failed, so there is no model; most often: error (why 1)",
            1,
            id="commonest",
        ),
    ],
)
@pytest.mark.parametrize(
    "attributes", [{}, {"seconds": 1e6}, {EXHAUSTED: True}], ids=["budget", "time", "exhausted"]
)
def test_a_study_whose_trials_all_failed_ends_with_status_5(
    study: StudyView,
    failures: list[FailReason],
    fact: str,
    number: int,
    attributes: dict[str, object],
) -> None:
    view = replace(study_of(study, failures), attributes=attributes)
    with pytest.raises(SearchError) as caught:
        exit_status(view, RunEnd(), SPEC, json=False)
    assert caught.value.status is Exit.FAILURES
    (problem,) = caught.value.problems
    assert problem.fact == fact
    assert problem.fix == f"search status solar-cells --trial {number} shows the whole error"


def test_what_is_typed_next_finds_the_study_in_its_storage(
    study: StudyView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEARCH_STORAGE", raising=False)
    spec = replace(SPEC, name="my study", storage="sqlite:///my studies.db")
    flag = " --storage 'sqlite:///my studies.db'"
    with pytest.raises(SearchError) as caught:
        exit_status(study_of(study, [FailReason.ERROR]), RunEnd(), spec, json=False)
    (problem,) = caught.value.problems
    assert problem.fix == f"search status 'my study' --trial 0{flag} shows the whole error"
    end = final_document(study, spec, storage="sqlite:////home/me/my studies.db")
    lines = [line for line in final_lines(end, width=None) if line.startswith("  search ")]
    assert [flag in line for line in lines] == [True] * 3
    usual = final_document(study, SPEC, storage="sqlite:////home/me/studies/studies.db")
    assert "--storage" not in "\n".join(final_lines(usual, width=None))


def test_a_study_that_was_given_up_early_says_so(study: StudyView) -> None:
    with pytest.raises(SearchError, match="the first 5 trials all failed, most often: error"):
        exit_status(
            study_of(study, [FailReason.ERROR] * 5),
            RunEnd(too_many_failures=True),
            SPEC,
            json=False,
        )


def test_one_trial_with_a_value_among_failures_is_a_study_that_is_done(study: StudyView) -> None:
    assert exit_status(study, RunEnd(), SPEC, json=True) is Exit.DONE
    pruned = replace(study, trials=study.trials[1:3])
    assert exit_status(pruned, RunEnd(), SPEC, json=True) is Exit.DONE


def test_a_study_of_which_nothing_settled_has_not_failed(study: StudyView) -> None:
    for trials in ((), study.trials[3:]):
        assert exit_status(replace(study, trials=trials), RunEnd(), SPEC, json=True) is Exit.DONE


def test_a_run_that_was_stopped_is_stopped_whatever_failed(study: StudyView) -> None:
    view = study_of(study, [FailReason.ERROR])
    assert exit_status(view, RunEnd(signal=2), SPEC, json=True) is Exit.INTERRUPTED
