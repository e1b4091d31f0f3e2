"""How numbers are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.cli.figures import clock, duration, main_first, setting, settings, size, spark


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(0.2, "0 s", id="nothing"),
        pytest.param(59.4, "59 s", id="below_a_minute"),
        pytest.param(59.6, "1 min 00 s", id="rounds_up_to_a_minute"),
        pytest.param(3599.7, "1 h 00 min", id="rounds_up_to_an_hour"),
        pytest.param(3720, "1 h 02 min", id="hours"),
    ],
)
def test_durations_carry_their_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (42.9, "0:42"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_elapsed_time_reads_like_a_clock(seconds: float, expected: str) -> None:
    assert clock(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(12, "12 B"), (97_800_000, "98 MB"), (3_260_000_000, "3.3 GB")]
)
def test_sizes_are_decimal(count: int, expected: str) -> None:
    assert size(count) == expected


def test_floats_have_three_digits_and_true_is_not_one() -> None:
    assert [setting(value) for value in (0.0021234, 1e-6, 32, True, "light")] == [
        "0.00212",
        "1e-06",
        "32",
        "true",
        "light",
    ]


def test_the_backbone_is_bare_and_inactive_settings_are_left_out() -> None:
    point = {"lr": 0.001, "backbone": "resnet50"}
    names = main_first(["lr", "dropout", "backbone"])
    assert names == ("backbone", "lr", "dropout")
    assert settings(point, names) == "resnet50  lr 0.001"


@pytest.mark.slow
@given(st.lists(st.floats(width=32), max_size=20))
def test_a_sparkline_has_one_mark_per_value(values: list[float]) -> None:
    assert len(spark(values)) == len(values)


def test_a_sparkline_goes_from_lowest_to_highest_and_marks_nan() -> None:
    assert spark([0.0, 1.0, math.nan, 0.5]) == "▁█x▅"
