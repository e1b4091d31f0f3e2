"""Checkpoints are what was written, or they are refused."""

import os
import pickle
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from search.space.spec import METRICS
from search.training.checkpoint import Checkpoint, load_trained, path_of, read, write
from search.training.config import TrialConfig
from search.training.faults import CheckpointUnusable
from search.training.report import EpochReport

pytestmark = pytest.mark.slow  # many short trainings: make test has the time


@pytest.fixture
def saved(config: TrialConfig) -> Checkpoint:
    report = EpochReport(
        epoch=1,
        metrics=dict.fromkeys(METRICS, 1 / 3),
        train_loss=0.1 + 0.2,
        seconds=1.0,
        images_per_second=2.0,
        peak_memory_mb=3.0,
        parameters_trained=4,
        parameters_total=5,
    )
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, 2, 2, generator=random).contiguous(memory_format=torch.channels_last)
    return Checkpoint(
        config=config,
        classes=3,
        weights_hash="ab" * 32,
        data_hash="cd" * 32,
        epoch=1,
        step=4,
        curve=(report,),
        best_epoch=1,
        tensors={"fc.weight": weight, "bn.num_batches_tracked": torch.tensor(7)},
        optimiser={"fc.weight/exp_avg": torch.randn(3, 4, generator=random)},
    )


def test_what_is_read_is_what_was_written(saved: Checkpoint, tmp_path: Path) -> None:
    write(tmp_path / "new" / "folder", "best", saved)
    found = load_trained(tmp_path / "new" / "folder", "best")
    assert found.identity() == saved.identity()
    assert found.curve == saved.curve
    assert found.metrics == saved.metrics
    assert (found.epoch, found.step, found.best_epoch) == (1, 4, 1)
    for mine, theirs in ((found.tensors, saved.tensors), (found.optimiser, saved.optimiser)):
        assert list(mine) == sorted(theirs)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_last_one_before_stays_beside_the_last(saved: Checkpoint, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, "last", replace(saved, step=step))
    assert read(tmp_path, "last").step == 3
    assert read(tmp_path, "last.previous").step == 2
    assert sorted(os.listdir(tmp_path)) == ["last.previous.safetensors", "last.safetensors"]


def test_no_flipped_bit_goes_unnoticed(saved: Checkpoint, tmp_path: Path) -> None:
    write(tmp_path, "last", saved)
    path = path_of(tmp_path, "last")
    good = path.read_bytes()
    random = np.random.default_rng(0)
    places = random.choice(len(good), 300, replace=False)
    refused = 0
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        try:
            found = read(tmp_path, "last")
        except CheckpointUnusable:
            refused += 1
        else:  # a blank that pads the header may change
            assert found.identity() == saved.identity()
            assert torch.equal(found.tensors["fc.weight"], saved.tensors["fc.weight"])
    assert refused > 290


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved: Checkpoint, tmp_path: Path, share: float) -> None:
    write(tmp_path, "best", saved)
    path = path_of(tmp_path, "best")
    good = path.read_bytes()
    path.write_bytes(good[: int(len(good) * share)])
    with pytest.raises(CheckpointUnusable, match=r"best\.safetensors"):
        read(tmp_path, "best")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnusable, match=r"last\.safetensors: no such file"):
        read(tmp_path, "last")


def test_a_pickle_posing_as_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return os.mkdir, (str(tmp_path / "it-ran"),)

    path_of(tmp_path, "best").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointUnusable):
        read(tmp_path, "best")
    torch.save({"w": Payload()}, path_of(tmp_path, "best"))
    with pytest.raises(CheckpointUnusable):
        read(tmp_path, "best")
    assert not (tmp_path / "it-ran").exists()


def test_a_stranger_in_our_format_is_refused(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(2)}, path_of(tmp_path, "best"))
    with pytest.raises(CheckpointUnusable, match="not what was written"):
        read(tmp_path, "best")


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """A write beyond ``size`` bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_when_the_disk_refuses_the_old_checkpoint_still_loads(
    saved: Checkpoint, tmp_path: Path
) -> None:
    write(tmp_path, "last", saved)
    with _files_of_at_most(500), pytest.raises(OSError) as caught:
        write(tmp_path, "last", replace(saved, step=9))
    path = re.escape(str(tmp_path / "last.safetensors"))
    assert re.search(rf"{path} cannot be written: its disk is full, \d+ bytes", str(caught.value))
    assert read(tmp_path, "last").step == 4
    assert os.listdir(tmp_path) == ["last.safetensors"]
