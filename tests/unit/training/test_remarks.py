"""What is said of a trial before its first step: each thing once, and no two that disagree."""

from collections.abc import Callable
from typing import Any

import pytest

from search.training.config import TrialConfig

Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]

MOVES = (
    "batch_norm: train moves the statistics of its frozen blocks: "
    "what they put out is computed in every epoch, and not stored"
)
MIXES = "mixup and cutmix mix pixels: its frozen blocks compute every training batch"
STORED = "; what is stored of them serves evaluation alone"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="as_its_settings_say"),
        pytest.param({"mixup": 0.4}, [MIXES + STORED], id="mixup"),
        pytest.param({"mixup": 0.4, "batch_norm": "train"}, [MOVES, MIXES], id="nothing_is_stored"),
        pytest.param({"mixup": 0.4, "unfreeze_depth": 5}, [], id="nothing_is_frozen"),
        pytest.param(
            {"cutmix": 1.0, "unfreeze_depth": 5, "finetune": "gradual"},
            [MIXES + STORED],
            id="frozen_at_first_gradual",
        ),
        pytest.param(
            {"mixup": 0.4, "unfreeze_depth": 5, "finetune": "head_then_partial"},
            [MIXES + STORED],
            id="frozen_at_first_head_then_partial",
        ),
    ],
)
def test_what_frozen_blocks_cost_is_said_without_contradiction(
    changes: dict[str, Any], expected: list[str], other: Other, curve: Curve
) -> None:
    notes: list[str] = []
    curve(other(epochs=6, **changes), stop=1, note=notes.append)
    assert notes == expected
