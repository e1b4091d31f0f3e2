"""What the shell offers for ``--set``."""

from __future__ import annotations

import pytest

from search.cli.complete import complete_sets
from search.training.config import SETTINGS


def test_every_setting_is_offered() -> None:
    assert complete_sets("space.") == [f"space.{name}=" for name in SETTINGS]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        pytest.param("ep", ["epochs.min=", "epochs.max="], id="section"),
        pytest.param("data.split.v", ["data.split.val="], id="nested"),
        pytest.param("resources.g", ["resources.gpus_per_trial="], id="one_of_two_forms"),
        pytest.param("obj", ["objective="], id="plain"),
        pytest.param("patience", ["patience.metric=", "patience.epochs="], id="patience"),
        pytest.param("ext", ["extends="], id="extends"),
        pytest.param("nonesuch", [], id="nothing"),
    ],
)
def test_keys_of_the_other_sections_are_offered(typed: str, offered: list[str]) -> None:
    assert complete_sets(typed) == offered
