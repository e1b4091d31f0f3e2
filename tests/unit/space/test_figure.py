"""How the value of a metric is written."""

from __future__ import annotations

import math

import pytest

from search.space.figure import metric
from search.space.spec import ALL_METRICS


@pytest.mark.parametrize(
    ("value", "of", "expected"),
    [
        pytest.param(None, "mae", "-", id="missing"),
        pytest.param(math.nan, "mae", "nan", id="nan"),
        pytest.param(0.71349, "balanced_accuracy", "0.713", id="usual"),
        pytest.param(0.0, "mae", "0.000", id="zero"),
        pytest.param(-0.0, "r2", "0.000", id="minus_zero"),
        pytest.param(1.1102230246251565e-16, "balanced_accuracy", "0.000", id="rounded_share"),
        pytest.param(-1e-17, "r2", "0.000", id="rounded_below_0"),
        pytest.param(3.5e-10, "mae", "3.5e-10", id="small_in_a_unit"),
        pytest.param(1.23456e-19, "loss", "1.235e-19", id="small_in_its_square"),
        pytest.param(-2e-12, "rmse", "-2e-12", id="small_difference"),
        pytest.param(0.0004, "accuracy", "0.0004", id="small_share"),
        pytest.param(1234567.0, "mae", "1.235e+06", id="large"),
    ],
)
def test_only_nothing_reads_as_nothing(value: float | None, of: str, expected: str) -> None:
    assert metric(value, of) == expected


@pytest.mark.parametrize("of", ALL_METRICS)
def test_what_is_no_noise_is_never_written_as_0(of: str) -> None:
    assert all(float(metric(10.0**-power, of)) > 0 for power in range(9))
