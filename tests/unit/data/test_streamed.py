"""Decoded when asked for: the same bits as stored, a few images at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.data.images import DecodedForm, ImageTable
from search.data.prepare import prepare
from search.data.store import ensure_decoded
from search.data.streamed import AHEAD_IMAGES, StreamedImages, stored_or_streamed
from search.problems import Exit, SearchError
from search.space.spec import DataSpec

Pictures = Callable[[str, int], list[Path]]
FORM = DecodedForm(side=10, interpolation="bicubic")
COUNT = 24
MOST = 5


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def table(folder: Path, cache: Path, pictures: Pictures) -> ImageTable:
    pictures("cat", COUNT // 2)
    pictures("dog", COUNT // 2)
    return prepare(DataSpec(path=str(folder)), base=folder, cache=cache, progress=silent).table


@pytest.fixture
def streamed(table: ImageTable) -> StreamedImages:
    return StreamedImages(table, FORM, workers=2, most=MOST)


@pytest.fixture
def images(table: ImageTable, cache: Path) -> np.ndarray:
    """What the store holds."""
    return ensure_decoded(
        table,
        side=FORM.side,
        interpolation=FORM.interpolation,
        cache=cache,
        progress=silent,
    ).images


def test_it_looks_like_the_array(streamed: StreamedImages, images: np.ndarray) -> None:
    assert (streamed.shape, streamed.ndim, len(streamed)) == (images.shape, 4, COUNT)
    found = streamed[np.array([3, 1, 3, 20, 3])]
    assert (found.shape, found.dtype) == ((5, 10, 10, 3), np.uint8)
    assert streamed[np.empty(0, dtype=np.int64)].shape == (0, 10, 10, 3)


ROWS = st.lists(st.integers(0, COUNT - 1), max_size=12)


@pytest.mark.slow
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("expect"), st.permutations(range(COUNT))),
            st.tuples(st.just("expect"), st.lists(st.integers(0, 5), max_size=40)),
            st.tuples(st.just("next"), st.integers(1, 9).map(lambda size: [size])),
            st.tuples(st.just("ask"), ROWS),
        ),
        max_size=12,
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_expected_and_asked_for_has_the_bits_of_the_store(
    streamed: StreamedImages, images: np.ndarray, steps: list[tuple[str, list[int]]]
) -> None:
    order: list[int] = []
    for kind, rows in steps:
        if kind == "expect":
            order = list(rows)
            streamed.expect(np.array(order, dtype=np.int64))
            continue
        if kind == "next":
            rows, order = order[: rows[0]], order[rows[0] :]
        asked = np.array(rows, dtype=np.int64)
        assert np.array_equal(streamed[asked], images[asked])
        assert streamed.in_flight <= MOST


def test_images_that_are_repeated_in_an_epoch_are_right_and_soon_ones_decoded_once(
    streamed: StreamedImages, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = np.tile([0, 1, 2, 0], 8)  # each comes again within MOST
    decoded: list[int] = []
    start = streamed._start
    monkeypatch.setattr(streamed, "_start", lambda row: (decoded.append(row), start(row)))
    streamed.expect(order)
    for first in range(0, len(order), 4):
        asked = order[first : first + 4]
        assert np.array_equal(streamed[asked], images[asked])
        assert streamed.in_flight <= MOST
    assert sorted(decoded) == [0, 1, 2]
    assert streamed.in_flight == 0


def test_an_epoch_is_decoded_ahead_and_leaves_nothing(
    streamed: StreamedImages, images: np.ndarray
) -> None:
    order = np.random.default_rng(0).permutation(COUNT)
    for _ in range(2):
        streamed.expect(order)
        assert streamed.in_flight == 0  # features may come from a store
        for start in range(0, COUNT, 4):
            asked = np.sort(order[start : start + 4])  # within a batch any order will do
            assert np.array_equal(streamed[asked], images[asked])
            assert set(streamed._flying) == set(order[start + 4 : start + 4 + MOST].tolist())


def test_what_was_decoded_ahead_needs_no_file(
    streamed: StreamedImages, images: np.ndarray, table: ImageTable
) -> None:
    order = np.arange(COUNT)
    streamed.expect(order)
    streamed[order[:4]]
    wait(streamed._flying.values())
    for row in table.rows[4 : 4 + MOST]:
        table.absolute(row).unlink()
    assert np.array_equal(streamed[order[4:9]], images[4:9])


def test_what_is_asked_for_instead_is_all_that_stays(
    streamed: StreamedImages, images: np.ndarray
) -> None:
    streamed.expect(np.arange(COUNT))
    streamed[np.arange(4)]
    assert np.array_equal(streamed[np.arange(20, 24)], images[20:24])
    assert streamed.in_flight == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "fact"),
    [
        pytest.param(
            lambda path: path.write_bytes(b"other"),
            "cat/02.png: its content is not what was checked",
            id="changed",
        ),
        pytest.param(
            lambda path: path.unlink(), "cat/02.png: no such file or directory", id="vanished"
        ),
    ],
)
@pytest.mark.parametrize("expected", [False, True])
def test_an_image_that_changed_after_the_check_is_named(
    table: ImageTable,
    streamed: StreamedImages,
    images: np.ndarray,
    damage: Callable[[Path], None],
    fact: str,
    expected: bool,
) -> None:
    damage(table.absolute(table.rows[2]))
    if expected:
        streamed.expect(np.arange(COUNT))
        streamed[np.arange(2)]
    with pytest.raises(SearchError) as caught:
        streamed[np.arange(2, 6)]
    assert caught.value.status is Exit.DATA
    assert [problem.fact for problem in caught.value.problems] == [
        fact,
        "images changed after they were checked",
    ]
    assert streamed.in_flight == 0
    assert np.array_equal(streamed[np.arange(3, 6)], images[3:6])


def test_few_images_are_held_whatever_their_size(table: ImageTable) -> None:
    def most(side: int, workers: int) -> int:
        form = DecodedForm(side=side, interpolation="bilinear")
        return StreamedImages(table, form, workers=workers)._most

    assert most(40, 2) == AHEAD_IMAGES
    assert most(280, 2) == 142  # of 235,200 bytes in 32 MiB
    assert most(10_000, 4) == 5


def test_threads_leave_what_is_warned_of_as_it_was(streamed: StreamedImages) -> None:
    streamed[np.arange(2)]
    before = list(warnings.filters)
    streamed[np.arange(COUNT)]
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="of ours"):
        warnings.warn("of ours", stacklevel=1)


def test_where_the_disk_is_too_full_images_are_streamed_and_that_is_said(
    table: ImageTable, cache: Path
) -> None:
    notes: list[str] = []

    def found(form: DecodedForm, *streamed: DecodedForm) -> object:
        return stored_or_streamed(
            table, form, streamed=streamed, cache=cache, progress=silent, note=notes.append
        )

    vast = DecodedForm(side=3_000_000, interpolation="bicubic")  # 648 TB
    assert isinstance(found(vast), StreamedImages)
    (note,) = notes
    assert note.startswith("decoded images need 648,000,000,000,000 bytes in ")
    assert note.endswith(" are free: images are decoded again in every epoch")
    assert isinstance(found(FORM), np.ndarray)
    assert isinstance(found(FORM, FORM), StreamedImages)
    assert len(notes) == 1
