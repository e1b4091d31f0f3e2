"""The real command on small real files: real Ray, real SQLite, real training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.workplace import Workplace, draw_images


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    draw_images(tmp_path / "images")
    place = Workplace(tmp_path)
    place.space()
    yield place
    place.end_all()


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Waits until something is so, for at most four minutes."""

    def wait(so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 240
        while not so():
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.1)

    return wait
