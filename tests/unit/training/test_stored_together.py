"""Several processes fill one view: each share is computed once, and nobody waits for the dead."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import torch

from search.training import activations
from search.training.inputs import TrialData
from search.training.prefix import Boundary, ComputedPrefix
from tests.unit.training.frozen import Store, shuffled, tiny_boundary


@pytest.mark.slow
def test_two_processes_fill_one_view_together(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, sys.argv[3])
        import numpy as np, torch
        from tests.unit.training import frozen
        from search.training.inputs import Examples, TrialData
        torch.set_num_threads(1)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 255, (300, 40, 40, 3), dtype=np.uint8)
        def part(rows):
            return Examples(images=images, rows=rows, labels=rows % 3,
                            keys=rng.integers(0, 2**63, len(rows), dtype=np.uint64))
        data = TrialData(train=part(np.arange(256)), val=part(np.arange(256, 300)))
        boundary = frozen.tiny_boundary(data, 5)
        store = frozen.Store(Path(sys.argv[1]))
        seen = []
        original = boundary.staged.forward_blocks
        def counted(x, start=0, stop=5):
            if start == 0: seen.append(len(x))
            return original(x, start, stop)
        boundary.staged.forward_blocks = counted
        ready = Path(sys.argv[1]) / sys.argv[2]
        ready.touch()
        other = Path(sys.argv[1]) / str(1 - int(sys.argv[2]))
        while not other.exists(): time.sleep(0.01)
        prefix = store.open(boundary)
        total = sum(float(prefix("train", np.arange(256), n).sum()) for n in range(4))
        print(sum(seen), total)
    """)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(at), str(Path(__file__).parents[3])],
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in (0, 1)
    ]
    outputs = [process.communicate(timeout=120)[0].split() for process in running]
    assert outputs[0][1] == outputs[1][1]
    assert sum(int(each[0]) for each in outputs) == 4 * 256


def _claim_of(store: Store, boundary: Boundary) -> Path:
    """The claim file of the only share of the train part's first view."""
    store.open(boundary)
    (family,) = (store.settings.cache / "activations").iterdir()
    folder = family / "medium-3-00000"
    folder.mkdir()
    return folder / f"{activations._name(boundary.data.train.keys)}.claim"


@pytest.mark.slow
def test_a_claim_whose_holder_stands_still_is_not_waited_for_without_end(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "STALLED", 0.2)
    boundary = tiny_boundary(data, 5)
    wanted = ComputedPrefix(boundary, keep_bytes=0)("train", shuffled(data), 0)
    with _claim_of(store, boundary).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a process that was stopped holds it
        assert torch.equal(store.open(boundary)("train", shuffled(data), 0), wanted)
    assert sum("has not gone on" in note for note in store.notes) == 1


@pytest.mark.slow
def test_a_claim_whose_holder_goes_on_is_waited_for(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "STALLED", 1.0)
    boundary = tiny_boundary(data, 5)
    file = _claim_of(store, boundary).open("ab")
    fcntl.flock(file, fcntl.LOCK_EX)

    def work() -> None:
        for _ in range(15):  # half as long again as one that stands still is waited for
            activations.Claim(file).beat()
            time.sleep(0.1)
        file.close()

    worker = threading.Thread(target=work)
    worker.start()
    began = time.monotonic()
    store.open(boundary)("train", shuffled(data), 0)
    assert time.monotonic() - began > 1.2
    worker.join()
    assert not any("has not gone on" in note for note in store.notes)
