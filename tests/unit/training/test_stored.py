"""Stored activations: the same features to the last bit, computed once."""

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.backbones.catalogue import CATALOGUE
from search.backbones.stages import build
from search.data.cache import Room, entries, hold
from search.training import activations, segments, worth
from search.training.inputs import EVALUATION, Geometry, TrialData
from search.training.prefix import Boundary, ComputedPrefix
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth

ALL = frozenset({1, 2, 3, 4, 5})
PLENTY = 10**9


def _boundary(data: TrialData, frozen: int, **changes: Any) -> Boundary:
    policy = changes.pop("policy", "medium")
    staged = build("mobilenet_v3_small", classes=3, image_size=32, dropout=0.0, state=None, seed=0)
    staged.to(memory_format=torch.channels_last).set_mode(5 - frozen, training=True)
    boundary = Boundary(
        staged=staged,
        frozen=frozen,
        data=data,
        geometry=Geometry(
            image_size=32,
            preprocessing=CATALOGUE["mobilenet_v3_small"].preprocessing,
            policy=policy,
            augmentation_seed=3,
        ),
        weights_hash="random:0",
        device=torch.device("cpu"),
        epochs=4,
        views=4,
    )
    return replace(boundary, **changes)


class _Store:
    """A cache folder, and what was said about it."""

    def __init__(self, cache: Path, budget: int = PLENTY, boundaries: frozenset[int] = ALL) -> None:
        self.notes: list[str] = []
        self.settings = StoreSettings(
            cache=cache, room=Room(cache, budget), boundaries=boundaries, worth=Worth()
        )

    def open(self, boundary: Boundary) -> StoredPrefix:
        return StoredPrefix(boundary, self.settings, self.notes.append)


@pytest.fixture
def store(tmp_path: Path) -> _Store:
    return _Store(tmp_path)


def _images_seen(boundary: Boundary, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Chunks that went through the stem."""
    seen: list[int] = []
    original = boundary.staged.forward_blocks

    def counted(x: torch.Tensor, start: int = 0, stop: int = 5) -> torch.Tensor:
        if start == 0:
            seen.append(len(x))
        return original(x, start, stop)

    monkeypatch.setattr(boundary.staged, "forward_blocks", counted)
    return seen


def _all(data: TrialData) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(0).permutation(len(data.train))


@pytest.mark.parametrize(
    ("policy", "frozen", "activations"),
    [
        # In the fast tests: every boundary, every policy and every precision, not all of them
        # with each other.
        pytest.param(
            policy,
            frozen,
            activations,
            marks=[]
            if (policy, activations) == ("medium", "float16") or frozen == 5
            else pytest.mark.slow,
        )
        for policy in ("none", "light", "medium", "heavy")
        for frozen in range(6)
        for activations in ("float16", "float32")
    ],
)
def test_stored_features_are_those_that_are_computed(
    data: TrialData, store: _Store, frozen: int, policy: str, activations: str
) -> None:
    boundary = _boundary(data, frozen, policy=policy, activations=activations)
    rows = _all(data)
    for part, chosen, number in (("train", rows, 2), ("val", rows[:5] % len(data.val), EVALUATION)):
        wanted = ComputedPrefix(boundary, keep_bytes=0)(part, chosen, number)  # type: ignore[arg-type]
        filled = store.open(boundary)(part, chosen, number)  # type: ignore[arg-type]
        read = store.open(boundary)(part, chosen, number)  # type: ignore[arg-type]
        for found in (filled, read):
            assert torch.equal(found, wanted)
            assert found.stride() == wanted.stride()
            assert found.dtype == wanted.dtype


def test_what_is_stored_is_not_computed_again(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(_boundary(data, 5))("train", _all(data), 0)
    later = _boundary(data, 5)
    seen = _images_seen(later, monkeypatch)
    store.open(later)("train", _all(data), 0)
    assert not seen


def test_one_forward_pass_fills_every_boundary_that_is_wanted(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(_boundary(data, 5))("train", _all(data), 0)
    for frozen in (4, 3, 2, 1):
        later = _boundary(data, frozen)
        seen = _images_seen(later, monkeypatch)
        store.open(later)("train", _all(data), 0)
        assert not seen


def test_a_deeper_boundary_goes_on_from_the_nearest_that_is_stored(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(_boundary(data, 3))("train", _all(data), 0)
    later = _boundary(data, 5)
    wanted = ComputedPrefix(later, keep_bytes=0)("train", _all(data), 0)
    seen = _images_seen(later, monkeypatch)
    assert torch.equal(store.open(later)("train", _all(data), 0), wanted)
    assert not seen


def test_only_wanted_boundaries_are_stored(data: TrialData, tmp_path: Path) -> None:
    _Store(tmp_path, boundaries=frozenset({5})).open(_boundary(data, 5))("train", _all(data), 0)
    assert {entry.path.name[:2] for entry in entries(tmp_path)} == {"b5"}


def test_another_split_of_the_same_images_computes_only_what_is_new(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = data.train
    half = replace(
        train, rows=train.rows[::2], labels=train.labels[::2], keys=train.keys[::2].copy()
    )
    store.open(_boundary(replace(data, train=half), 5))("train", np.arange(len(half)), 0)
    later = _boundary(data, 5)
    seen = _images_seen(later, monkeypatch)
    rows = np.arange(len(train))
    found = store.open(later)("train", rows, 0)
    new = len(train) - len(half)
    assert sum(seen) == -(-new // 16) * 16
    monkeypatch.undo()
    assert torch.equal(found, ComputedPrefix(later, keep_bytes=0)("train", rows, 0))


@pytest.mark.parametrize("place", [0, 100, -1, -20, -60])
def test_a_damaged_entry_is_computed_again_and_said(
    data: TrialData, store: _Store, place: int
) -> None:
    boundary = _boundary(data, 5)
    wanted = store.open(boundary)("train", _all(data), 0)
    for entry in entries(store.settings.cache):
        content = bytearray(entry.path.read_bytes())
        content[place] ^= 0xFF
        entry.path.write_bytes(content)
    assert torch.equal(store.open(boundary)("train", _all(data), 0), wanted)
    assert any("computed again" in note for note in store.notes)


@pytest.mark.parametrize("content", [b"", b"x" * 40, b"\0" * 5_000, b"PK\x03\x04" * 300])
def test_a_foreign_file_is_no_entry(data: TrialData, store: _Store, content: bytes) -> None:
    boundary = _boundary(data, 5)
    wanted = store.open(boundary)("train", _all(data), 0)
    for entry in entries(store.settings.cache):
        entry.path.write_bytes(content)
    assert torch.equal(store.open(boundary)("train", _all(data), 0), wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"weights_hash": "other"},
        {"activations": "float32"},
        {"policy": "heavy"},
    ],
)
def test_other_weights_precision_or_policy_share_nothing(
    data: TrialData, store: _Store, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(_boundary(data, 5))("train", _all(data), 0)
    other = _boundary(data, 5, **change)
    seen = _images_seen(other, monkeypatch)
    store.open(other)("train", _all(data), 0)
    assert seen


def test_evaluation_is_shared_between_policies(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open(_boundary(data, 5))("val", np.arange(len(data.val)), EVALUATION)
    other = _boundary(data, 5, policy="heavy")
    seen = _images_seen(other, monkeypatch)
    store.open(other)("val", np.arange(len(data.val)), EVALUATION)
    assert not seen


def test_without_room_the_features_are_computed(data: TrialData, tmp_path: Path) -> None:
    boundary = _boundary(data, 3)
    wanted = ComputedPrefix(boundary, keep_bytes=0)("train", _all(data), 0)
    for budget in (0, 10, 5_000):
        small = _Store(tmp_path / str(budget), budget)
        assert torch.equal(small.open(boundary)("train", _all(data), 0), wanted)
        assert sum(entry.bytes for entry in entries(tmp_path / str(budget))) <= budget


def test_views_that_do_not_fit_are_computed_and_the_others_stay(
    data: TrialData, tmp_path: Path
) -> None:
    boundary = _boundary(data, 5)
    row = ComputedPrefix(boundary)("train", _all(data)[:1], 0).numel() * 2
    budget = (2 * len(data.train) + len(data.val)) * row + 20_000
    store = _Store(tmp_path, budget, frozenset({5}))
    for _ in range(2):
        prefix = store.open(boundary)
        for number in range(4):
            prefix("train", _all(data), number)
    views = {entry.path.parent.name for entry in entries(tmp_path)}
    assert views == {"medium-3-00000", "medium-3-00001"}
    assert any("2 of 4 views" in note for note in store.notes)


def test_a_view_that_is_known_not_to_be_stored_is_computed_once(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = _boundary(data, 5)
    row = ComputedPrefix(boundary)("train", _all(data)[:1], 0).numel() * 2
    budget = (len(data.train) + len(data.val)) * row + 20_000
    prefix = _Store(tmp_path, budget, frozenset({5})).open(boundary)
    prefix("train", _all(data), 0)  # stored, and there is no room for another
    seen = _images_seen(boundary, monkeypatch)
    rows = np.arange(len(data.train))
    for number in (1, 2):
        prefix("train", rows, number)
    assert sum(seen) == 2 * -(-len(rows) // 16) * 16


def test_the_least_recently_used_goes_first_and_what_is_held_stays(
    data: TrialData, tmp_path: Path
) -> None:
    store = _Store(tmp_path, boundaries=frozenset({5}))
    for number in (0, 1, 2):
        store.open(_boundary(data, 5))("train", _all(data), number)
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
    store = _Store(tmp_path)
    boundary = _boundary(data, 5)
    found = store.open(boundary)("train", _all(data), 0)
    assert torch.equal(found, ComputedPrefix(boundary)("train", _all(data), 0))
    assert any("not stored" in note for note in store.notes)


def test_what_a_killed_process_left_is_removed(data: TrialData, tmp_path: Path) -> None:
    store = _Store(tmp_path)
    store.open(_boundary(data, 5))("train", _all(data), 0)
    left = entries(tmp_path)[0].path.with_name("b5-0000.99999.tmp")
    left.write_bytes(b"x" * 1000)
    Room(tmp_path, PLENTY).make(1)
    assert not left.exists()


@pytest.mark.slow
def test_two_processes_fill_one_view_together(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, sys.argv[3])
        import numpy as np, torch
        import test_stored
        from search.training.inputs import Examples, TrialData
        torch.set_num_threads(1)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 255, (300, 40, 40, 3), dtype=np.uint8)
        def part(rows):
            return Examples(images=images, rows=rows, labels=rows % 3,
                            keys=rng.integers(0, 2**63, len(rows), dtype=np.uint64))
        data = TrialData(train=part(np.arange(256)), val=part(np.arange(256, 300)))
        boundary = test_stored._boundary(data, 5)
        store = test_stored._Store(Path(sys.argv[1]))
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
            [sys.executable, "-c", program, str(tmp_path), str(at), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in (0, 1)
    ]
    outputs = [process.communicate(timeout=120)[0].split() for process in running]
    assert outputs[0][1] == outputs[1][1]
    assert sum(int(each[0]) for each in outputs) == 4 * 256


def _claim_of(store: _Store, boundary: Boundary) -> Path:
    """The claim file of the only share of the train part's first view."""
    store.open(boundary)
    (family,) = (store.settings.cache / "activations").iterdir()
    folder = family / "medium-3-00000"
    folder.mkdir()
    return folder / f"{activations._name(boundary.data.train.keys)}.claim"


def test_a_claim_whose_holder_stands_still_is_not_waited_for_without_end(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "STALLED", 0.2)
    boundary = _boundary(data, 5)
    wanted = ComputedPrefix(boundary, keep_bytes=0)("train", _all(data), 0)
    with _claim_of(store, boundary).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a process that was stopped holds it
        assert torch.equal(store.open(boundary)("train", _all(data), 0), wanted)
    assert sum("has not gone on" in note for note in store.notes) == 1


def test_a_claim_whose_holder_goes_on_is_waited_for(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "STALLED", 1.0)
    boundary = _boundary(data, 5)
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
    store.open(boundary)("train", _all(data), 0)
    assert time.monotonic() - began > 1.2
    worker.join()
    assert not any("has not gone on" in note for note in store.notes)


def test_what_is_stored_of_other_images_is_neither_read_nor_marked_as_used(
    data: TrialData, store: _Store
) -> None:
    boundary = _boundary(data, 5)
    others = replace(data, train=replace(data.train, keys=data.train.keys + np.uint64(1)))
    store.open(replace(boundary, data=others))("train", _all(data), 0)
    theirs = {entry.path for entry in entries(store.settings.cache)}
    for path in theirs:
        path.write_bytes(b"damaged" + path.read_bytes()[7:])
        os.utime(path, (0, 0))
    segments._verified.clear()
    found = store.open(boundary)("train", _all(data), 0)
    assert torch.equal(found, ComputedPrefix(boundary, keep_bytes=0)("train", _all(data), 0))
    assert not any("computed again" in note for note in store.notes)
    assert all(path.stat().st_atime == 0 for path in theirs)
    assert len(entries(store.settings.cache)) == 2 * len(theirs)


def test_a_damaged_entry_that_cannot_be_removed_is_passed_over(
    data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = _boundary(data, 5)
    wanted = store.open(boundary)("train", _all(data), 0)
    for entry in entries(store.settings.cache):
        entry.path.write_bytes(b"damaged" + entry.path.read_bytes()[7:])

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("unlink", "replace", "mkdir"):
        monkeypatch.setattr(Path, name, refused)
    assert torch.equal(store.open(boundary)("train", _all(data), 0), wanted)
    assert sum("computed again" in note for note in store.notes) == 1


def test_what_one_pass_decides_to_store_fits_the_budget_together(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worth, "store_and_read", lambda *_, **__: 0.0)
    boundary = _boundary(data, 5)
    row = ComputedPrefix(boundary)("train", _all(data)[:1], 0).numel() * 2
    budget = (4 * len(data.train) + len(data.val)) * row + 20_000
    store = _Store(tmp_path, budget)
    store.open(boundary)("train", _all(data), 0)
    verdicts = {at: verdict for (_, at), verdict in store.settings.worth._verdicts.items()}
    assert set(verdicts) == ALL
    assert verdicts[5].views == 4
    assert sum(verdict.bytes for verdict in verdicts.values()) <= budget


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DECODER", "another"),
        ("AUGMENTATION_VERSION", 0),
        ("_libraries", lambda backbone: ["torchvision 0.0"]),
        ("chunk_size", lambda device: 8),
    ],
)
def test_what_makes_features_otherwise_makes_another_family(
    name: str, value: object, data: TrialData, store: _Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = _boundary(data, 5)
    store.open(boundary)
    monkeypatch.setattr(activations, name, value)
    store.open(boundary)
    assert len(list((store.settings.cache / "activations").iterdir())) == 2
