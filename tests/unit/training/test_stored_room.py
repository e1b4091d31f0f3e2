"""Where there is no room, or no right to write, features are computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from search.data.cache import Room, entries, hold
from search.training import worth
from search.training.inputs import TrialData
from search.training.prefix import ComputedPrefix
from tests.unit.training.frozen import ALL, PLENTY, Store, images_seen, shuffled, tiny_boundary


def test_without_room_the_features_are_computed(data: TrialData, tmp_path: Path) -> None:
    boundary = tiny_boundary(data, 3)
    wanted = ComputedPrefix(boundary, keep_bytes=0)("train", shuffled(data), 0)
    for budget in (0, 10, 5_000):
        small = Store(tmp_path / str(budget), budget)
        assert torch.equal(small.open(boundary)("train", shuffled(data), 0), wanted)
        assert sum(entry.bytes for entry in entries(tmp_path / str(budget))) <= budget


@pytest.mark.slow
def test_views_that_do_not_fit_are_computed_and_the_others_stay(
    data: TrialData, tmp_path: Path
) -> None:
    boundary = tiny_boundary(data, 5)
    row = ComputedPrefix(boundary)("train", shuffled(data)[:1], 0).numel() * 2
    budget = (2 * len(data.train) + len(data.val)) * row + 20_000
    store = Store(tmp_path, budget, frozenset({5}))
    for _ in range(2):
        prefix = store.open(boundary)
        for number in range(4):
            prefix("train", shuffled(data), number)
    views = {entry.path.parent.name for entry in entries(tmp_path)}
    assert views == {"medium-3-00000", "medium-3-00001"}
    assert any("2 of 4 views" in each.text for each in store.settings.worth.decisions())


@pytest.mark.slow
def test_a_view_that_is_known_not_to_be_stored_is_computed_once(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = tiny_boundary(data, 5)
    row = ComputedPrefix(boundary)("train", shuffled(data)[:1], 0).numel() * 2
    budget = (len(data.train) + len(data.val)) * row + 20_000
    prefix = Store(tmp_path, budget, frozenset({5})).open(boundary)
    prefix("train", shuffled(data), 0)  # stored, and there is no room for another
    seen = images_seen(boundary, monkeypatch)
    rows = np.arange(len(data.train))
    for number in (1, 2):
        prefix("train", rows, number)
    assert sum(seen) == 2 * -(-len(rows) // 16) * 16


@pytest.mark.slow
def test_the_least_recently_used_goes_first_and_what_is_held_stays(
    data: TrialData, tmp_path: Path
) -> None:
    store = Store(tmp_path, boundaries=frozenset({5}))
    for number in (0, 1, 2):
        store.open(tiny_boundary(data, 5))("train", shuffled(data), number)
    for age, entry in enumerate(entries(tmp_path)):
        os.utime(entry.path, ns=(10**9 * (1 + age), entry.path.stat().st_mtime_ns))
    found = entries(tmp_path)
    total = sum(entry.bytes for entry in found)
    with hold(found[0].path):
        os.utime(found[0].path, ns=(0, found[0].path.stat().st_mtime_ns))
        assert Room(tmp_path, total).make(found[1].bytes)
        left = {entry.path for entry in entries(tmp_path)}
        assert found[0].path in left
        assert found[1].path not in left
        assert left == {found[0].path, *(entry.path for entry in found[2:])}


def test_a_folder_that_cannot_be_made_leaves_the_trial_computing(
    data: TrialData, tmp_path: Path
) -> None:
    (tmp_path / "activations").write_text("a file in the way")
    store = Store(tmp_path)
    boundary = tiny_boundary(data, 5)
    found = store.open(boundary)("train", shuffled(data), 0)
    assert torch.equal(found, ComputedPrefix(boundary)("train", shuffled(data), 0))
    assert any("not stored" in note for note in store.notes)


def test_what_a_killed_process_left_is_removed(data: TrialData, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open(tiny_boundary(data, 5))("train", shuffled(data), 0)
    left = entries(tmp_path)[0].path.with_name("b5-0000.99999.tmp")
    left.write_bytes(b"x" * 1000)
    Room(tmp_path, PLENTY).make(1)
    assert not left.exists()


def test_what_one_pass_decides_to_store_fits_the_budget_together(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worth, "store_and_read", lambda *_, **__: 0.0)
    boundary = tiny_boundary(data, 5)
    row = ComputedPrefix(boundary)("train", shuffled(data)[:1], 0).numel() * 2
    budget = (4 * len(data.train) + len(data.val)) * row + 20_000
    store = Store(tmp_path, budget)
    store.open(boundary)("train", shuffled(data), 0)
    verdicts = {at: verdict for (_, at), verdict in store.settings.worth._verdicts.items()}
    assert set(verdicts) == ALL
    assert verdicts[5].views == 4
    assert sum(verdict.bytes for verdict in verdicts.values()) <= budget
