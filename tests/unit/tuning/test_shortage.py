"""What is remembered of a trial that ran out of memory, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.tuning.shortage import Shortages, remember, shortages
from tests.unit.training.tiny import CONFIG


def test_a_trial_without_any_takes_its_whole_batch(tmp_path: Path) -> None:
    assert shortages(tmp_path / "none", 32) == Shortages(batch_size=32)
    assert shortages(tmp_path, 32).at_once == 32


@pytest.mark.parametrize(
    ("batch_size", "at_once"),
    [
        pytest.param(32, 16, id="half"),
        pytest.param(33, 16, id="rounded_down"),
        pytest.param(3, 2, id="batch_norm_needs_two"),
        pytest.param(2, 2, id="two"),
        pytest.param(1, 1, id="one_has_no_half"),
    ],
)
def test_after_the_first_it_takes_half(batch_size: int, at_once: int, tmp_path: Path) -> None:
    remember(tmp_path, batch_size, run="a", why="no room")
    known = shortages(tmp_path, batch_size)
    assert known.at_once == at_once
    assert not known.over("a")


def test_of_a_trial_with_a_micro_batch_the_micro_batch_is_halved(tmp_path: Path) -> None:
    config = replace(CONFIG, batch_size=32, micro_batch=8)
    said = remember(tmp_path, config.at_once, run="a", why="no room")
    assert said == "with 8 images at once; once more with 4 at once, same effective batch"
    assert shortages(tmp_path, config.at_once).at_once == 4


def test_after_the_second_in_one_run_it_is_over_and_both_are_told(tmp_path: Path) -> None:
    first = remember(tmp_path, 32, run="a", why="CUDA out of memory. Tried 2 GiB\nmore")
    second = remember(tmp_path, 32, run="a", why="CUDA out of memory. Tried 1 GiB")
    assert first == "with 32 images at once; once more with 16 at once, same effective batch"
    assert second == "with 16 images at once"
    known = shortages(tmp_path, 32)
    assert known.over("a")
    assert known.text == ("with 32 images at once, and with 16: CUDA out of memory. Tried 1 GiB")


def test_what_has_no_half_is_tried_once_more_in_a_fresh_process(tmp_path: Path) -> None:
    said = remember(tmp_path, 1, run="a", why="no room")
    assert said == "with 1 image at once; once more in a fresh process"
    remember(tmp_path, 1, run="a", why="no room")
    assert shortages(tmp_path, 1).over("a")


def test_a_later_run_keeps_the_half_and_fails_at_its_own_shortage_alone(tmp_path: Path) -> None:
    for _ in range(2):
        remember(tmp_path, 8, run="a", why="no room")
    known = shortages(tmp_path, 8)
    assert known.at_once == 4
    assert not known.over("b")
    assert remember(tmp_path, 8, run="b", why="no room") == "with 4 images at once"
    assert shortages(tmp_path, 8).over("b")


def test_a_line_cut_short_or_of_another_trial_counts_for_nothing(tmp_path: Path) -> None:
    remember(tmp_path, 8, run="a", why="no room")
    file = next(tmp_path.iterdir())
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert shortages(tmp_path, 8) == Shortages(batch_size=8)
    file.write_bytes(whole[: len(whole) // 2] + b"\n[1]\n{}\nnull\n\xff\n")
    assert shortages(tmp_path, 8) == Shortages(batch_size=8)
    remember(tmp_path, 8, run="a", why="no room")
    assert len(shortages(tmp_path, 8).past) == 1
    assert shortages(tmp_path, 64) == Shortages(batch_size=64)
