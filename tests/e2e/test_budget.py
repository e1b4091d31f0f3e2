"""What ends a study besides its trials, by the real command: the clock, and no better trial."""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.e2e.test_faults import reports, states
from tests.e2e.workplace import Workplace

pytestmark = pytest.mark.slow


def seconds_in_the_record(workplace: Workplace) -> float:
    """The study's wall time, read past our own code."""
    file = workplace.folder / "studies" / "studies.db"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        query = "select value_json from study_user_attributes where key = 'seconds'"
        (text,) = connection.execute(query).fetchone()
    return float(json.loads(text))


def test_minutes_are_kept_within_one_epoch_and_more_of_them_go_on(workplace: Workplace) -> None:
    workplace.space(trials=3, epochs=2000)  # an epoch takes well under a second
    flags = ("--set", "scheduler.name=none")
    done = workplace.run("run", "tiny.yaml", *flags, "--minutes", "0.3")
    assert done.returncode == 0, done.stderr
    assert "the time is used up; to go on: search run tiny.yaml" in done.stdout
    used = seconds_in_the_record(workplace)
    assert 18 <= used < 18 + 8  # an epoch, and the end of Tune on a busy machine
    before = reports(workplace.folder)
    assert len(before) > 1
    assert set(states(workplace.folder).values()) == {"WAITING"}  # cut, and not lost

    again = workplace.run("run", "tiny.yaml", *flags, "--minutes", "0.3")
    assert again.returncode == 0, again.stderr
    assert reports(workplace.folder) == before
    longer = workplace.run("run", "tiny.yaml", *flags, "--minutes", "0.4")
    assert longer.returncode == 0, longer.stderr
    after = reports(workplace.folder)
    assert len(after) > len(before)
    assert {key: after[key] for key in before} == before


def test_the_default_settings_are_compared_with_once_their_trial_is_done(
    workplace: Workplace,
) -> None:
    workplace.space(trials=3, epochs=2)
    finished = workplace.search_json()
    put_trial_0(workplace, "WAITING")  # as where the time was used up in the middle of it
    used_up = ("--minutes", "0.0001")
    cut = workplace.run("run", "tiny.yaml", "--json", *used_up)
    assert cut.returncode == 0, cut.stderr
    assert list(json.loads(cut.stdout)["baselines"]) == ["linear_probe"]
    assert "not compared with the default settings: trial 0, which has them" in cut.stderr
    put_trial_0(workplace, "COMPLETE")
    again = workplace.search_json(*used_up)
    assert again["baselines"]["default"] == finished["baselines"]["default"]


def put_trial_0(workplace: Workplace, state: str) -> None:
    """Into a state, past our own code."""
    with sqlite3.connect(workplace.folder / "studies" / "studies.db") as connection:
        connection.execute("update trials set state = ? where number = 0", (state,))


@pytest.mark.thorough
def test_a_study_ends_when_no_better_trial_comes_and_goes_on_with_a_higher_limit(
    workplace: Workplace,
) -> None:
    workplace.space(trials=40, epochs=1)
    done = workplace.run("run", "tiny.yaml", "--stop-after", "2")
    assert done.returncode == 0, done.stderr
    trials = len(states(workplace.folder))
    assert 3 <= trials < 40
    assert "40 trials or 2 in a row without a better one" in done.stdout
    assert (
        "no better trial in the last 2; to go on: search run tiny.yaml --stop-after 3\n"
        in done.stdout
    )
    assert len(states(workplace.folder)) == trials
    longer = workplace.run("run", "tiny.yaml", "--stop-after", "3")
    assert longer.returncode == 0, longer.stderr
    assert len(states(workplace.folder)) > trials
