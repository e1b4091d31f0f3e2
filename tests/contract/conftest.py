"""The real storages that every suite here runs on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import postgres


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    """One PostgreSQL server for all tests of this process."""
    with postgres.running() as started:
        yield started
