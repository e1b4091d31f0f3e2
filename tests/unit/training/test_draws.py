"""Random numbers as a pure function of integers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.training.draws import key_of, keys_of, permutation, torch_seed, uniforms

WORDS = st.integers(min_value=0, max_value=2**64 - 1)


def test_a_number_depends_on_its_own_key_alone() -> None:
    keys = np.arange(50, dtype=np.uint64)
    whole = uniforms(7, 3, keys, 5)
    for row in (0, 17, 49):
        assert np.array_equal(uniforms(7, 3, keys[row : row + 1], 5)[0], whole[row])


def test_more_columns_leave_the_first_ones_as_they_were() -> None:
    keys = np.arange(9, dtype=np.uint64)
    assert np.array_equal(uniforms(1, 2, keys, 30)[:, :4], uniforms(1, 2, keys, 4))


def test_numbers_are_uniform_and_uncorrelated() -> None:
    u = uniforms(0, 0, np.arange(20_000, dtype=np.uint64), 4)
    assert u.min() >= 0
    assert u.max() < 1
    # standard error of the mean: .289 / sqrt(20000) = .002
    assert np.abs(u.mean(axis=0) - 0.5).max() < 0.01
    counts = np.histogram(u[:, 0], bins=20, range=(0, 1))[0]
    # 1000 expected in each of 20 bins; chi-square with 19 degrees, 99.99 % below 50
    assert ((counts - 1000) ** 2 / 1000).sum() < 50
    off_diagonal = np.corrcoef(u.T)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.03


@given(seed=WORDS, index=st.integers(-1, 10**6), key=WORDS)
def test_seed_and_index_both_matter(seed: int, index: int, key: int) -> None:
    keys = np.array([key], dtype=np.uint64)
    assert not np.array_equal(uniforms(seed, index, keys, 2), uniforms(seed, index + 1, keys, 2))
    assert not np.array_equal(uniforms(seed, index, keys, 2), uniforms(seed ^ 1, index, keys, 2))


def test_the_numbers_stay_the_same_for_ever() -> None:
    """Old checkpoints go on only if these never change."""
    first = uniforms(1, 2, np.array([3], dtype=np.uint64), 2)
    assert first.tolist() == [[0.07166370763826013, 0.8633317146052892]]
    assert permutation(1, 2, 6).tolist() == [5, 1, 4, 3, 0, 2]
    assert torch_seed(1, 2) == 814771695214466403


@given(seed=WORDS, count=st.integers(0, 200))
def test_a_permutation_has_every_number_once(seed: int, count: int) -> None:
    assert sorted(permutation(seed, 0, count)) == list(range(count))


def test_orders_of_epochs_and_seeds_differ() -> None:
    orders = {tuple(permutation(seed, epoch, 40)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_an_images_key_is_the_start_of_its_hash() -> None:
    assert key_of("00000000000000ff" + "a" * 48) == 255
    assert keys_of(["f" * 64]).tolist() == [2**64 - 1]
