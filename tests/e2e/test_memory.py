"""Workers that run out of memory under a real limit of the system, with real Ray."""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.test_faults import reports
from tests.e2e.workplace import Workplace, draw_images

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    draw_images(tmp_path / "images", per_class=32)
    place = Workplace(tmp_path)
    yield place
    place.end_all()


LARGE = tuple(
    word
    for setting in (
        *("image_size=384", "unfreeze_depth=5", "augmentation=none", "batch_size=48"),
        "dropout=0.0",
    )
    for word in ("--set", f"space.{setting}")
)
WHOLE, HALF = 2200, 1250
"""MB that a step of 48 and of 24 such images takes, beside what a worker has."""


def start_limited(workplace: Workplace, wait_for: WaitFor, room: int) -> subprocess.Popen[str]:
    """The command on large images; none of its processes gets more than ``room`` MB
    beside what a worker has before it trains."""
    workplace.space(name="small", trials=1, epochs=5000)
    small = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(workplace.folder)) >= 2)
    found: list[int] = []
    wait_for(lambda: bool(found.extend(_data_of_workers(small.pid)) or found))
    most = found[0] + room * 2**20
    small.kill()
    small.wait()
    workplace.space(trials=1, epochs=1)
    child = workplace.start("run", "tiny.yaml", *LARGE)
    resource.prlimit(child.pid, resource.RLIMIT_DATA, (most, most))  # and all that it starts
    return child


def _data_of_workers(pid: int) -> Iterator[int]:
    """Bytes that the workers of a run may write to."""
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if re.match(r"ray::.*(Trainable|FineTune)", " ".join(process.cmdline())):
                yield process.memory_info().data


def test_a_trial_without_memory_goes_on_with_half_the_images_at_once_and_completes(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    child = start_limited(workplace, wait_for, (WHOLE + HALF) // 2)
    out, err = child.communicate()
    assert child.returncode == 0, err
    assert (
        "trial 0: its worker ran out of memory after epoch 0 with 48 images at once; "
        "once more with 24 at once, same effective batch"
    ) in " ".join(out.split())
    shown = workplace.run("status", "tiny", "--trial", "0").stdout
    assert "state        complete" in shown
    assert "micro-batch  24 images at once" in shown
    assert "batch_size         48" in shown


def test_a_trial_without_memory_for_half_of_it_either_fails_and_says_both(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    out, _ = start_limited(workplace, wait_for, HALF // 2).communicate()
    assert "out_of_memory: with 48 images at once, and with 24: " in " ".join(out.split())
    shown = workplace.run("status", "tiny", "--trial", "0").stdout
    assert "failed (out_of_memory)" in shown
