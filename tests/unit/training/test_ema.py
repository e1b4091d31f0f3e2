"""A moving average of the weights, as computed by hand."""

import pytest
import torch
from torch import Tensor, nn

from search.training.ema import Ema, decay_at


@pytest.mark.parametrize(
    ("decay", "step", "expected"),
    [
        pytest.param(0.999, 1, 2 / 11, id="the_first_keeps_little_of_the_start"),
        pytest.param(0.999, 90, 0.91, id="later_more"),
        pytest.param(0.999, 8_990, 0.999, id="the_decay_is_reached"),
        pytest.param(0.999, 100_000, 0.999, id="and_stays"),
        pytest.param(0.5, 8, 0.5, id="a_low_decay_is_reached_soon"),
    ],
)
def test_the_decay_rises_to_its_value(decay: float, step: int, expected: float) -> None:
    assert decay_at(decay, step) == pytest.approx(expected, abs=1e-12)


def test_the_average_is_that_computed_by_hand_and_counters_are_copied() -> None:
    live = {"weight": torch.tensor([1.0]), "counter": torch.tensor(0)}
    ema = Ema(live, 0.2)
    values = []
    for step, weight in enumerate([2.0, 3.0, 5.0], start=1):
        live["weight"].fill_(weight)
        live["counter"].fill_(step)
        ema.update(step)
        values.append(float(ema.averages["weight"]))
    # 2/11 of 1 and 9/11 of 2; then .2 of that (3/12 is more) and .8 of 3; then of 5
    first = (2 * 1 + 9 * 2) / 11
    second = 0.2 * first + 0.8 * 3
    assert values == pytest.approx([first, second, 0.2 * second + 0.8 * 5])
    assert int(ema.averages["counter"]) == 3


def test_what_does_not_move_is_its_own_average_to_the_last_bit() -> None:
    still = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    ema = Ema({"still": still}, 0.9)
    for step in range(1, 50):
        ema.update(step)
    assert torch.equal(ema.averages["still"], still)


def test_the_model_has_the_averages_for_a_while_and_then_its_own_weights() -> None:
    model = nn.BatchNorm1d(4)
    ema = Ema(model.state_dict(), 0.9)
    start = _copy(model)
    for tensor in model.state_dict().values():
        tensor.add_(1)
    own = _copy(model)
    with ema.in_place():
        assert _equal(_copy(model), start)
    assert _equal(_copy(model), own)


def test_restored_averages_go_on_as_the_others() -> None:
    live = {"weight": torch.tensor([1.0, 2.0])}
    one, two = Ema(live, 0.9), Ema(live, 0.9)
    live["weight"].mul_(3)
    one.update(1)
    two.restore({name: tensor.clone() for name, tensor in one.averages.items()})
    live["weight"].sub_(1)
    for ema in (one, two):
        ema.update(2)
    assert torch.equal(one.averages["weight"], two.averages["weight"])


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, two[name]) for name, tensor in one.items())
