"""The cache folder: a byte budget that is kept, and nothing in use that goes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data import cache as module
from search.data.cache import (
    IN_USE,
    CacheEntry,
    Kind,
    Room,
    clear,
    default_budget,
    drop_leftovers,
    entries,
    hold,
    relieve,
)

PLENTY = 10**12


def write(cache: Path, kind: Kind, name: str, size: int, *, used: float = 1_000.0) -> Path:
    """An entry as it looks from outside."""
    place = "decoded/{}.u8" if kind == "decoded" else "activations/family/view/b5-{}.rows"
    path = cache / place.format(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    if kind == "decoded":
        path.with_suffix(".json").write_text("{}")
    os.utime(path, (used, used))
    return path


def names(cache: Path) -> set[str]:
    return {entry.path.name for entry in entries(cache)}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("kind", ["decoded", "activations"])
def test_the_least_recently_used_goes_first(tmp_path: Path, kind: Kind) -> None:
    for name, used in (("b", 20.0), ("a", 10.0), ("c", 30.0)):
        write(tmp_path, kind, name, 100, used=used)
    assert [entry.used for entry in entries(tmp_path)] == [10.0, 20.0, 30.0]
    assert Room(tmp_path, 300).make(50)
    assert [entry.used for entry in entries(tmp_path)] == [20.0, 30.0]
    assert Room(tmp_path, 300).make(200)
    assert [entry.used for entry in entries(tmp_path)] == [30.0]


def test_reading_makes_an_entry_the_last_to_go_and_keeps_its_time_of_writing(
    tmp_path: Path,
) -> None:
    oldest = write(tmp_path, "activations", "a", 100, used=10.0)
    write(tmp_path, "activations", "b", 100, used=20.0)
    hold(oldest).close()
    assert oldest.stat().st_mtime == 10.0
    assert Room(tmp_path, 200).make(100)
    assert names(tmp_path) == {"b5-a.rows"}


def test_decoded_images_go_with_their_header(tmp_path: Path) -> None:
    path = write(tmp_path, "decoded", "a", 100)
    assert Room(tmp_path, 100).make(100)
    assert not path.exists()
    assert not path.with_suffix(".json").exists()


def test_what_is_mapped_stays_when_its_file_was_closed(tmp_path: Path) -> None:
    path = write(tmp_path, "decoded", "a", 100)
    with hold(path) as file:
        mapped = np.memmap(file, dtype=np.uint8, mode="r")
    part = mapped[10:20]
    del mapped
    assert not Room(tmp_path, 100).make(100)
    assert path.exists()
    del part
    assert Room(tmp_path, 100).make(100)
    assert not path.exists()


def test_what_another_process_decodes_stays(tmp_path: Path) -> None:
    path = write(tmp_path, "decoded", "a", 100)
    growing = path.with_suffix(".u8.tmp")
    growing.write_bytes(b"x" * 50)
    with locked(path.with_suffix(".lock")):
        drop_leftovers(tmp_path)
        assert not Room(tmp_path, 100).make(100)
        assert path.with_suffix(".json").exists()
        assert growing.exists()
    assert Room(tmp_path, 100).make(100)
    assert not path.exists()
    assert not growing.exists()


def test_a_process_that_dies_holds_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "activations", "a", 100)
    code = (
        "import sys; from pathlib import Path; from search.data.cache import hold\n"
        "file = hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert not Room(tmp_path, 100).make(100)
    process.kill()
    process.communicate()
    assert Room(tmp_path, 100).make(100)


class Item(NamedTuple):
    kind: Kind
    size: int
    used: int
    held: bool


ITEMS = st.lists(
    st.builds(
        Item,
        kind=st.sampled_from(("decoded", "activations")),
        size=st.integers(0, 1_000),
        used=st.integers(1, 50),
        held=st.booleans(),
    ),
    max_size=12,
)


@pytest.mark.slow
@given(items=ITEMS, budget=st.integers(0, 5_000), needs=st.lists(st.integers(0, 2_000), max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_budget_is_kept_and_nothing_that_is_held_goes(
    items: list[Item], budget: int, needs: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cache = Path(folder)
        held = set()
        for number, item in enumerate(items):
            path = write(cache, item.kind, f"{number}", item.size, used=item.used)
            if item.held:
                stack.enter_context(hold(path))
                os.utime(path, (item.used, item.used))
                held.add(path)
        room = Room(cache, budget)
        for number, need in enumerate(needs):
            before = entries(cache)
            made = room.make(need)
            left = entries(cache)
            assert held <= {entry.path for entry in left}
            gone = [entry for entry in before if entry not in left]
            for entry in gone:  # nothing older that could go was left
                assert all(each.path in held or each.used >= entry.used for each in left)
            if made:
                assert sum(entry.bytes for entry in left) + need <= budget
                write(cache, "activations", f"new{number}", need, used=100.0)
            else:
                kept = sum(entry.bytes for entry in left if entry.path in held)
                fresh = sum(entry.bytes for entry in left if entry.path not in held)
                assert kept + need > budget or fresh == 0


@pytest.mark.slow
def test_what_other_processes_write_is_seen_in_time(tmp_path: Path) -> None:
    room, other = Room(tmp_path, 10_000), Room(tmp_path, 10_000)
    for number in range(60):
        for who, mine in (("a", room), ("b", other)):
            assert mine.make(100)
            write(tmp_path, "activations", f"{who}{number}", 100, used=number + 1)
    # Each looks again after 2 % of the budget, and always above 80 % of it.
    assert sum(entry.bytes for entry in entries(tmp_path)) <= 10_000 + 200


def test_what_is_being_written_counts(tmp_path: Path) -> None:
    growing = write(tmp_path, "activations", "a", 0).with_name("b5-b.1.tmp")
    growing.write_bytes(b"x" * 600)
    with locked(growing):
        assert not Room(tmp_path, 1_000).make(500)
        assert Room(tmp_path, 1_000).make(400)


def test_what_killed_processes_left_goes_and_what_is_written_stays(tmp_path: Path) -> None:
    view = write(tmp_path, "activations", "a", 1).parent
    write(tmp_path, "decoded", "d", 1)
    left = [view / "b5-1.77.tmp", tmp_path / "decoded" / "e.u8.tmp"]
    for path in left:
        path.write_bytes(b"x")
    alive = view / "b5-2.78.tmp"
    alive.write_bytes(b"x")
    with locked(alive):
        drop_leftovers(tmp_path)
        assert [path.exists() for path in (*left, alive)] == [False, False, True]
    assert names(tmp_path) == {"b5-a.rows", "d.u8"}


def test_an_empty_budget_leaves_no_room_and_removes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "decoded", "a", 10)
    assert not Room(tmp_path, 0).make(1)
    assert path.exists()


def test_the_disk_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "activations", "a", 10)
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(module, "_KEEP_FREE", free + 10**9)
    assert not Room(tmp_path, PLENTY).make(1)


def test_a_file_that_may_not_be_removed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = write(tmp_path, "activations", "a", 100, used=1.0)
    write(tmp_path, "activations", "b", 100, used=2.0)
    original = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self == stuck:  # as a user who is not root meets it
            raise PermissionError(errno.EACCES, "Permission denied")
        original(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    assert Room(tmp_path, 200).make(100)
    assert names(tmp_path) == {"b5-a.rows"}
    cleared = clear(tmp_path, ("activations",), before=PLENTY)
    assert [why for _, why in cleared.stayed] == ["permission denied"]


def test_the_default_budget_is_what_is_there_and_half_of_what_is_free(tmp_path: Path) -> None:
    missing = tmp_path / "a" / "b"
    half = shutil.disk_usage(tmp_path).free // 2
    slack = 2**30  # others write to this disk too
    assert abs(default_budget(missing) - half) < slack
    write(tmp_path, "decoded", "a", 10**12)  # a hole: takes nothing
    assert abs(default_budget(tmp_path) - half - 10**12) < slack


def test_a_full_disk_loses_activations_and_no_decoded_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "decoded", "a", 500, used=1.0)
    for number in range(4):
        write(tmp_path, "activations", f"{number}", 100, used=10.0 + number)
    held = entries(tmp_path)[1].path

    def free(cache: Path) -> int:  # a disk of 1,000 bytes
        return 1_000 - sum(entry.bytes for entry in entries(cache))

    monkeypatch.setattr(module, "_free", free)
    with hold(held):
        os.utime(held, (10.0, 10.0))
        assert relieve(tmp_path, 100)
        assert len(entries(tmp_path)) == 5
        assert relieve(tmp_path, 250)
        assert names(tmp_path) == {"a.u8", "b5-0.rows", "b5-3.rows"}
        assert not relieve(tmp_path, 450)
        assert names(tmp_path) == {"a.u8", "b5-0.rows"}
    assert not relieve(tmp_path, 600), "decoded images are not evicted for others"
    assert names(tmp_path) == {"a.u8", "b5-0.rows"}, "nothing goes where it would not help"


def test_clear_removes_kinds_by_age_and_says_what_stayed(tmp_path: Path) -> None:
    old = write(tmp_path, "activations", "old", 5, used=10.0)
    new = write(tmp_path, "activations", "new", 6, used=99.0)
    held = write(tmp_path, "activations", "held", 7, used=10.0)
    decoded = write(tmp_path, "decoded", "d", 8, used=10.0)
    with hold(held):
        os.utime(held, (10.0, 10.0))
        dry = clear(tmp_path, ("activations",), before=50.0, dry_run=True)
        assert old.exists()
        cleared = clear(tmp_path, ("activations",), before=50.0)
    assert dry == cleared
    assert [entry.path for entry in cleared.gone] == [old]
    assert [(entry.path, why) for entry, why in cleared.stayed] == [(held, IN_USE)]
    assert not old.exists()
    assert all(path.exists() for path in (new, held, decoded))


def test_clear_leaves_no_empty_folders_of_activations(tmp_path: Path) -> None:
    path = write(tmp_path, "activations", "a", 5)
    (path.parents[1] / "family.json").write_text("{}")
    path.with_name("of-a-killed-process.claim").touch()
    cleared = clear(tmp_path, ("activations", "decoded"), before=PLENTY)
    assert [entry.bytes for entry in cleared.gone] == [5]
    assert list((tmp_path / "activations").iterdir()) == []


def test_clear_removes_no_file_that_is_not_ours(tmp_path: Path) -> None:
    family = write(tmp_path, "activations", "a", 5).parents[1]
    (family / "family.json").write_text("{}")
    (family / "begun meanwhile").touch()
    clear(tmp_path, ("activations",), before=PLENTY)
    assert [path.name for path in family.iterdir()] == ["begun meanwhile"]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert entries(missing) == []
    assert clear(missing, ("decoded",), before=PLENTY).gone == ()
    assert not missing.exists()


def test_an_entry_that_went_meanwhile_is_gone(tmp_path: Path) -> None:
    entry = CacheEntry(path=tmp_path / "b5-x.rows", kind="activations", bytes=1, used=0.0)
    assert module.remove(entry)
