"""Settled trials since the last better one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from search.study.records import FailReason, State, StudyView, TrialView
from search.study.streak import streak_of

COMPLETE, PRUNED, FAILED = State.COMPLETE, State.PRUNED, State.FAILED
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def study(*trials: tuple[State, float | None], direction: str = "maximize") -> StudyView:
    """A study whose trials settled in this order, numbered the other way round."""
    views = tuple(
        TrialView(
            number=len(trials) - place,
            state=state,
            params={},
            curve={},
            best_value=value,
            best_epoch=None,
            why="",
            reason=FailReason.ERROR if state is FAILED else None,
            started=NOON,
            ended=NOON + timedelta(minutes=place) if state.settled else None,
            attributes={},
        )
        for place, (state, value) in enumerate(trials)
    )
    ordered = tuple(sorted(views, key=lambda view: view.number))
    return StudyView(
        name="s", objective="accuracy", direction=direction, trials=ordered, attributes={}
    )


@pytest.mark.parametrize(
    ("trials", "length"),
    [
        pytest.param((), 0, id="none_settled"),
        pytest.param(((COMPLETE, 0.5),), 0, id="the_first_is_the_best"),
        pytest.param(((COMPLETE, 0.5), (COMPLETE, 0.5)), 1, id="as_good_is_not_better"),
        pytest.param(((COMPLETE, 0.5), (FAILED, 0.9)), 1, id="a_failed_one_is_no_better"),
        pytest.param(((COMPLETE, 0.5), (PRUNED, 0.9)), 1, id="a_pruned_one_wins_nothing"),
        pytest.param(((PRUNED, 0.9), (COMPLETE, 0.5)), 0, id="a_complete_one_wins"),
        pytest.param(((FAILED, None), (FAILED, None)), 2, id="nothing_but_failures"),
        pytest.param(((COMPLETE, 0.5), (COMPLETE, 0.6), (State.RUNNING, 0.1)), 0, id="running"),
    ],
)
def test_it_counts_since_the_last_new_winner(
    trials: tuple[tuple[State, float | None], ...], length: int
) -> None:
    assert streak_of(study(*trials)).length == length


def test_a_lower_loss_is_better() -> None:
    falling = study((COMPLETE, 0.6), (COMPLETE, 0.5), (COMPLETE, 0.7), direction="minimize")
    assert streak_of(falling).length == 1
