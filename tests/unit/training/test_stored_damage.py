"""Files that are damaged or of others are never read as features."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search.data.cache import entries
from search.training import segments
from search.training.inputs import TrialData
from search.training.prefix import ComputedPrefix
from tests.unit.training.frozen import Store, shuffled, tiny_boundary


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 100, -1, -20, -60])
def test_a_damaged_entry_is_computed_again_and_said(
    data: TrialData, store: Store, place: int
) -> None:
    boundary = tiny_boundary(data, 5)
    wanted = store.open(boundary)("train", shuffled(data), 0)
    for entry in entries(store.settings.cache):
        content = bytearray(entry.path.read_bytes())
        content[place] ^= 0xFF
        entry.path.write_bytes(content)
    assert torch.equal(store.open(boundary)("train", shuffled(data), 0), wanted)
    assert any("computed again" in note for note in store.notes)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"x" * 40, b"\0" * 5_000, b"PK\x03\x04" * 300])
def test_a_foreign_file_is_no_entry(data: TrialData, store: Store, content: bytes) -> None:
    boundary = tiny_boundary(data, 5)
    wanted = store.open(boundary)("train", shuffled(data), 0)
    for entry in entries(store.settings.cache):
        entry.path.write_bytes(content)
    assert torch.equal(store.open(boundary)("train", shuffled(data), 0), wanted)


def test_a_damaged_entry_that_cannot_be_removed_is_passed_over(
    data: TrialData, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = tiny_boundary(data, 5)
    wanted = store.open(boundary)("train", shuffled(data), 0)
    for entry in entries(store.settings.cache):
        entry.path.write_bytes(b"damaged" + entry.path.read_bytes()[7:])

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("unlink", "replace", "mkdir"):
        monkeypatch.setattr(Path, name, refused)
    assert torch.equal(store.open(boundary)("train", shuffled(data), 0), wanted)
    assert sum("computed again" in note for note in store.notes) == 1


@pytest.mark.slow
def test_what_is_stored_of_other_images_is_neither_read_nor_marked_as_used(
    data: TrialData, store: Store
) -> None:
    boundary = tiny_boundary(data, 5)
    others = replace(data, train=replace(data.train, keys=data.train.keys + np.uint64(1)))
    store.open(replace(boundary, data=others))("train", shuffled(data), 0)
    theirs = {entry.path for entry in entries(store.settings.cache)}
    for path in theirs:
        path.write_bytes(b"damaged" + path.read_bytes()[7:])
        os.utime(path, (0, 0))
    segments._verified.clear()
    found = store.open(boundary)("train", shuffled(data), 0)
    assert torch.equal(found, ComputedPrefix(boundary, keep_bytes=0)("train", shuffled(data), 0))
    assert not any("computed again" in note for note in store.notes)
    assert all(path.stat().st_atime == 0 for path in theirs)
    assert len(entries(store.settings.cache)) == 2 * len(theirs)
