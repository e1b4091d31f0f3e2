"""What is stored is cheaper to read than to compute, and fits the budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.training.inputs import EVALUATION
from search.training.segments import RowForm
from search.training.worth import Decision, Need, Sample, Worth, store_and_read

CPU = torch.device("cpu")
FORM = RowForm(shape=(64,), dtype="float16", computed="float32", channels_last=False)
ROW = FORM.bytes  # 128
NEED = Need(
    family="f",
    name="resnet50 at 224 px",
    device=CPU,
    train=1_000,
    val=200,
    views=4,
    budget=10**9,
)


def sample(boundary: int = 5, seconds: float = 60.0) -> Sample:
    """Sixteen images that took so long to compute; storing them takes microseconds."""
    rows = np.zeros((16, *FORM.shape), dtype=np.float16)
    return Sample(boundary=boundary, start=0, rows=rows, form=FORM, seconds=seconds)


class Asked:
    """A process's verdicts, and what was said of them."""

    def __init__(self, folder: Path, need: Need = NEED) -> None:
        self.worth = Worth()
        self.need = need
        self.folder = folder

        self._decided: list[Decision] = []

    @property
    def notes(self) -> list[str]:
        self._decided += self.worth.decisions()
        return [each.text for each in self._decided]

    def stored(self, number: int, of: Sample | None = None) -> bool:
        return self.worth.stores(self.need, of or sample(), number, self.folder)

    def views(self, of: Sample | None = None) -> list[int]:
        numbers = (EVALUATION, *range(self.need.views + 1))
        return [number for number in numbers if self.stored(number, of)]


def test_what_is_cheap_to_read_is_stored_in_every_view(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    assert asked.views() == [EVALUATION, 0, 1, 2, 3]
    assert len(asked.notes) == 1
    assert asked.notes[0].startswith("resnet50 at 224 px, behind block 5 of 5: computing takes ")
    assert asked.notes[0].endswith(": stored")


def test_what_is_cheaper_to_compute_is_not_stored(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    assert asked.views(sample(seconds=1e-9)) == []
    assert asked.notes[0].endswith(": computed each time")


def test_only_as_many_views_are_stored_as_fit(tmp_path: Path) -> None:
    # evaluation 200 rows, two views of 1,000 each; 999 rows are left over
    asked = Asked(tmp_path, replace(NEED, budget=(200 + 2_000 + 999) * ROW))
    assert asked.views() == [EVALUATION, 0, 1]
    assert asked.notes[0].endswith(": stored for 2 of 4 views, as many as there is room for")


@pytest.mark.parametrize(
    ("rows", "views"),
    [
        pytest.param(199, [], id="not_even_evaluation"),
        pytest.param(200, [EVALUATION], id="evaluation_alone"),
        pytest.param(1_199, [EVALUATION], id="nearly_a_view"),
        pytest.param(1_200, [EVALUATION, 0], id="one_view"),
        pytest.param(4_200, [EVALUATION, 0, 1, 2, 3], id="all"),
    ],
)
def test_evaluation_comes_first_since_every_epoch_reads_it(
    tmp_path: Path, rows: int, views: list[int]
) -> None:
    assert Asked(tmp_path, replace(NEED, budget=rows * ROW)).views() == views


def test_boundaries_nearer_to_the_head_have_their_room_first(tmp_path: Path) -> None:
    asked = Asked(tmp_path, replace(NEED, budget=(4_200 + 1_200) * ROW))
    assert asked.views(sample(boundary=5)) == [EVALUATION, 0, 1, 2, 3]
    assert asked.views(sample(boundary=4)) == [EVALUATION, 0]
    assert asked.views(sample(boundary=3)) == []


def test_a_verdict_stays_and_is_measured_once(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    assert not asked.worth.knows(NEED, 5)
    assert asked.stored(0)
    assert asked.worth.knows(NEED, 5)
    assert not asked.worth.knows(NEED, 4)
    assert not asked.worth.knows(replace(NEED, views=5), 5)
    assert asked.stored(0, sample(seconds=1e-9))
    assert len(asked.notes) == 1


@given(
    budget=st.integers(0, 3_000_000),
    train=st.integers(1, 500),
    val=st.integers(1, 500),
    views=st.integers(1, 30),
)
@settings(max_examples=25, deadline=None)
def test_what_all_boundaries_store_fits_the_budget(
    tmp_path_factory: pytest.TempPathFactory, budget: int, train: int, val: int, views: int
) -> None:
    folder = tmp_path_factory.mktemp("worth")
    need = replace(NEED, budget=budget, train=train, val=val, views=views)
    asked = Asked(folder, need)
    rows = 0
    for boundary in (5, 4, 3):
        for number in asked.views(sample(boundary=boundary)):
            rows += val if number == EVALUATION else train
    assert rows * ROW <= budget


def test_measuring_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    assert store_and_read(sample(), CPU, tmp_path, at_most=0.01) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Asked(tmp_path / "none").stored(0)
