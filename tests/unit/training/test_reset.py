"""A reused process starts a trial as a fresh one."""

import gc
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from search.training import warp
from search.training.inputs import Examples
from search.training.memory import peak_memory_mb, restart_peak
from search.training.reset import leftovers, reset


@pytest.fixture(autouse=True, scope="module")
def _session_set_aside() -> Iterator[None]:
    """What the tests before left is not looked through at each reset."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _numbers() -> tuple[float, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.slow
def test_reset_puts_back_what_a_trial_may_have_changed() -> None:
    assert reset(threads=1) == ()
    fresh = _numbers()
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(2)
    torch.set_default_device("meta")
    assert len(leftovers(threads=1)) == 6
    assert reset(threads=1) == ()
    assert _numbers() == fresh


@pytest.mark.slow
def test_an_open_autocast_is_said() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert reset(threads=1) == ("autocast is on for the CPU",)
    assert reset(threads=1) == ()


@pytest.mark.slow
def test_a_trial_leaves_nothing_behind(config: object, curve: Callable[..., object]) -> None:
    reset(threads=1)
    curve(config, stop=1)
    assert leftovers(threads=1) == ()
    assert warp._moments.cache_info().currsize > 0
    assert reset(threads=1) == ()
    assert warp._moments.cache_info().currsize == 0


@pytest.mark.slow
def test_each_trial_has_its_own_peak() -> None:
    cpu = torch.device("cpu")
    block = torch.ones(60 * 2**20)  # 240 MiB, touched
    high = peak_memory_mb(cpu)
    assert block.sum() > 0
    del block
    restart_peak(cpu)
    if peak_memory_mb(cpu) >= high:
        pytest.skip("this system cannot forget a process's peak")
    assert peak_memory_mb(cpu) < high - 200


@pytest.mark.parametrize(
    ("shape", "rows", "message"),
    [((4, 5, 6, 3), 1, "side, side, 3"), ((4, 5, 5, 3), 0, "at least one")],
)
def test_examples_that_cannot_be_right_are_refused(
    shape: tuple[int, ...], rows: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Examples(
            images=np.zeros(shape, np.uint8),
            rows=np.arange(rows),
            labels=np.zeros(rows, np.int64),
            keys=np.zeros(rows, np.uint64),
        )
