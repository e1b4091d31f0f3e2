"""When a trial counts as hanging: by a limit that is set, or by its own epochs."""

from __future__ import annotations

from search.study.records import FailReason, State
from search.tuning.silence import FIRST, LEAST, Silence


def overdue_at(silence: Silence, start: float, end: float) -> float | None:
    """Second at which the trial "a" is first found to hang, asked every 10 seconds."""
    now = start
    while now <= end:
        if "a" in silence.overdue(now):
            return now
        now += 10
    return None


def test_with_a_limit_set_every_report_starts_it_anew() -> None:
    silence = Silence(1.0)
    silence.starts("a", 0.0)
    assert overdue_at(silence, 0, 60) is None
    silence.reports("a", 60.0, epoch=1, seconds=50.0)
    assert overdue_at(silence, 60, 500) == 130  # the first asking after 60 + 60
    outcome = silence.overdue(140)["a"]
    assert (outcome.state, outcome.reason) == (State.FAILED, FailReason.TIMEOUT)
    assert outcome.why == (
        "no report for 1.3 minutes after epoch 1; resources: {minutes_per_epoch: 1}"
    )


def test_without_one_the_first_epoch_has_a_day() -> None:
    silence = Silence(None)
    silence.starts("a", 0.0)
    assert overdue_at(silence, 0, FIRST) is None
    assert overdue_at(silence, FIRST, FIRST + 100) == FIRST + 10
    why = silence.overdue(FIRST + 30)["a"].why
    assert why == (
        "no report for 1440.5 minutes from its start on; no resources: {minutes_per_epoch} is set"
    )


def test_without_one_later_epochs_have_twenty_times_the_longest_but_an_hour_at_least() -> None:
    for seconds, limit in ((5.0, LEAST), (600.0, 12_000.0)):
        silence = Silence(None)
        silence.starts("a", 0.0)
        silence.reports("a", 0.0, epoch=1, seconds=seconds)
        silence.reports("a", 0.0, epoch=2, seconds=1.0)
        assert overdue_at(silence, 0, 20_000) == limit + 10


def test_a_trial_that_ended_or_got_another_worker_is_not_overdue() -> None:
    silence = Silence(1.0)
    silence.starts("a", 0.0)
    silence.starts("b", 0.0)
    silence.ends("a")
    assert overdue_at(silence, 0, 50) is None
    silence.starts("b", 50.0)
    assert not silence.overdue(70.0)
    silence.reports("a", 70.0, epoch=1, seconds=1.0)  # a report that was on its way
    assert not silence.overdue(75.0)


def test_time_in_which_this_process_was_stopped_does_not_count() -> None:
    silence = Silence(1.0)
    silence.starts("a", 0.0)
    assert not silence.overdue(10.0)
    assert not silence.overdue(5000.0)  # Ctrl-Z, and fg after an hour
    assert overdue_at(silence, 5010, 6000) == 5060  # 10 s before it, and 50 after
