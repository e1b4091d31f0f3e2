"""Features of frozen blocks: computed or kept, the same to the last bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.training.inputs import EVALUATION, TrialData
from search.training.prefix import HALF_MAX, ComputedPrefix, rounded, stream
from search.training.rows import from_rows, to_rows
from search.training.schedule import batches
from tests.unit.training.frozen import tiny_boundary

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [0, 1, 3, 5])
@pytest.mark.parametrize("number", [EVALUATION, 1])
def test_features_do_not_depend_on_what_they_are_asked_with(
    data: TrialData, frozen: int, number: int
) -> None:
    boundary = tiny_boundary(data, frozen)
    rows = np.random.default_rng(0).permutation(len(data.train))
    once = ComputedPrefix(boundary, keep_bytes=0)("train", rows, number)
    assert not once.requires_grad
    kept = ComputedPrefix(boundary)
    for some in (rows[:1], rows[3:9], rows[::-1].copy(), np.repeat(rows[:1], 5), rows):
        found = kept("train", some, number)
        places = [list(rows).index(row) for row in some]
        assert torch.equal(found, once[places])
    assert found.stride() == once.stride()


@pytest.mark.slow
def test_what_is_read_again_is_computed_once(data: TrialData) -> None:
    boundary = tiny_boundary(data, 5, views=2)
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    boundary.staged.model.features[0].register_forward_hook(count)
    prefix = ComputedPrefix(boundary)
    rows = np.arange(20)
    for _ in range(3):
        prefix("val", rows, EVALUATION)
        prefix("train", rows, 1)
    assert counted == 4  # 20 images are two chunks of 16, for two parts


@pytest.mark.slow
def test_training_views_that_never_repeat_are_not_kept(data: TrialData) -> None:
    prefix = ComputedPrefix(tiny_boundary(data, 5, views=4, epochs=4))
    prefix("train", np.arange(20), 0)
    assert not prefix._kept


@pytest.mark.slow
def test_the_budget_is_not_exceeded(data: TrialData) -> None:
    # 1024 float32 for each of 26 and of 20 images: 106496 and 81920 bytes
    prefix = ComputedPrefix(tiny_boundary(data, 5, views=2), keep_bytes=120_000)
    first = prefix("train", np.arange(26), 0)
    prefix("val", np.arange(20), EVALUATION)
    assert [kept is None for kept in prefix._kept.values()] == [False, True]
    assert torch.equal(prefix("train", np.arange(26), 0), first)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5, 8, 16, 24, 64])
def test_a_stream_gives_every_batch_in_order(data: TrialData, size: int) -> None:
    prefix = ComputedPrefix(tiny_boundary(data, 5, views=2), keep_bytes=0)
    order = np.random.default_rng(1).permutation(26)
    whole = prefix("train", order, 1)
    seen = 0
    for chosen, features in stream(prefix, data.train, order, batches(26, size), 1):
        assert np.array_equal(chosen, order[seen : seen + len(chosen)])
        assert torch.equal(features, whole[seen : seen + len(chosen)])
        seen += len(chosen)
    assert seen == 26


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=True)


@pytest.mark.slow
@given(values=st.lists(FLOATS, min_size=1, max_size=50))
def test_rounding_to_half_keeps_eleven_bits_and_stays_in_range(values: list[float]) -> None:
    exact = torch.tensor(values, dtype=torch.float32)
    found = rounded(exact, "float16")
    assert found.dtype == exact.dtype
    clamped = exact.double().clamp(-HALF_MAX, HALF_MAX)
    error = (found.double() - clamped).abs()
    assert (error <= torch.maximum(clamped.abs() * 2**-11, torch.tensor(2.0**-25))).all()
    assert found.abs().max() <= HALF_MAX
    assert torch.equal(found.half().to(found.dtype), found)  # what a file of float16 keeps
    assert torch.equal(rounded(found, "float16"), found)


@pytest.mark.slow
@given(values=st.lists(FLOATS, min_size=1, max_size=50))
def test_rounding_bfloat16_twice_is_rounding_once_and_half_keeps_it(values: list[float]) -> None:
    features = torch.tensor(values, dtype=torch.float32).to(torch.bfloat16)
    found = rounded(features, "float16")
    assert found.dtype == torch.bfloat16
    rows, form = to_rows(found[None], "float16")
    assert torch.equal(from_rows(rows, form, CPU)[0], found)
    assert torch.equal(rounded(found, "float16"), found)


@pytest.mark.slow
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_rounding_to_single_changes_nothing(values: list[float]) -> None:
    exact = torch.tensor(values, dtype=torch.float32)
    assert rounded(exact, "float32") is exact


@pytest.mark.parametrize(
    ("dtype", "top"),
    [
        pytest.param(torch.float32, 65_504.0, id="float32"),
        # The next bfloat16 is 65536, which float16 cannot hold.
        pytest.param(torch.bfloat16, 65_280.0, id="bfloat16"),
    ],
)
def test_what_is_beyond_half_is_the_largest_and_nan_stays_nan(
    dtype: torch.dtype, top: float
) -> None:
    values = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0], dtype=dtype)
    found = rounded(values, "float16")
    assert found.isnan().tolist() == [True, False, False, False, False]
    assert found[1:].tolist() == [top, -top, 0.0, -0.0]
    assert rounded(torch.tensor([65_408.0], dtype=dtype), "float16").half().isfinite().all()


def test_rounding_keeps_the_layout() -> None:
    features = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert rounded(features, "float16").stride() == features.stride()
