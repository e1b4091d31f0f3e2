"""What holds for all tests."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

# A change is judged by what it changed, not by what is drawn that day. `make faults` draws anew.
settings.register_profile("the_same_each_time", derandomize=True)
settings.load_profile("the_same_each_time")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported by now stays: a trial collects garbage when it ends, and each time
    looked through all of torch for a third of a second."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Libraries that count what they leave at the end shall see it gone."""
    gc.unfreeze()
