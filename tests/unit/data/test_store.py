"""Decoded once, mapped by all; what is damaged is decoded again and said."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from search.data import files, store
from search.data.cache import clear
from search.data.decode import decode_rgb, square
from search.data.images import ImageTable
from search.data.manifest import save_table
from search.data.prepare import prepare
from search.data.store import (
    BadStore,
    DecodedImages,
    decoded_bytes,
    decoded_path,
    decoded_side,
    ensure_decoded,
    open_decoded,
)
from search.problems import Exit, SearchError
from search.space.spec import DataSpec

Pictures = Callable[[str, int], list[Path]]
SIDE = 10
FAR = 1e12
"""Seconds since 1970, long after now."""


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def table(folder: Path, cache: Path, pictures: Pictures) -> ImageTable:
    pictures("cat", 5)
    pictures("dog", 7)
    return prepare(DataSpec(path=str(folder)), base=folder, cache=cache, progress=silent).table


class Ensured(NamedTuple):
    decoded: DecodedImages
    notes: list[str]
    told: list[tuple[str, int, int]]

    @property
    def built(self) -> bool:
        return any(what.startswith("decoding") for what, _, _ in self.told)


def ensure(table: ImageTable, cache: Path, *, workers: int | None = None) -> Ensured:
    notes: list[str] = []
    told: list[tuple[str, int, int]] = []
    store._verified.clear()  # as a new process would see it
    decoded = ensure_decoded(
        table,
        side=SIDE,
        interpolation="bilinear",
        cache=cache,
        progress=lambda *what: told.append(what),
        note=notes.append,
        workers=workers,
    )
    return Ensured(decoded, notes, told)


@pytest.mark.parametrize(("size", "side"), [(224, 280), (160, 200), (96, 120), (299, 374)])
def test_the_stored_side_is_a_quarter_larger(size: int, side: int) -> None:
    assert decoded_side(size) == side


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 2])
def test_every_row_is_its_images_square(
    table: ImageTable, cache: Path, workers: int | None
) -> None:
    decoded = ensure(table, cache, workers=workers).decoded
    assert decoded.images.shape == (12, SIDE, SIDE, 3)
    assert decoded.images.dtype == np.uint8
    assert not decoded.images.flags.writeable
    for at, row in enumerate(table.rows):
        expected = square(decode_rgb(table.absolute(row)), SIDE, "bilinear")
        assert (decoded.images[at] == expected).all()
    assert decoded.labels.tolist() == [row.label for row in table.rows]
    assert decoded.hashes == tuple(row.sha256 for row in table.rows)


def test_the_indices_of_the_parts_cover_all_rows_once(table: ImageTable, cache: Path) -> None:
    decoded = ensure(table, cache).decoded
    of_part = {part: decoded.indices(part) for part in ("train", "val", "test")}  # type: ignore[arg-type]
    assert {part: len(own) for part, own in of_part.items()} == table.counts()
    assert sorted(np.concatenate(list(of_part.values()))) == list(range(12))
    assert all(table.rows[at].part == part for part, own in of_part.items() for at in own)


def test_a_second_time_nothing_is_decoded(table: ImageTable, cache: Path, folder: Path) -> None:
    first = ensure(table, cache)
    assert first.built
    shutil.rmtree(folder)
    second = ensure(table, cache)
    assert (second.built, second.notes) == (False, [])
    assert (second.decoded.images == first.decoded.images).all()


def test_the_key_is_of_content_and_geometry_and_not_of_names(
    table: ImageTable, cache: Path
) -> None:
    renamed = replace(
        table,
        root=Path("/elsewhere"),
        rows=tuple(replace(row, path=f"x{n}", part="val") for n, row in enumerate(table.rows)),
    )
    changed = replace(table, rows=(replace(table.rows[0], sha256="0" * 64), *table.rows[1:]))

    def path(of: ImageTable, side: int = SIDE, interpolation: str = "bilinear") -> Path:
        return decoded_path(of, side=side, interpolation=interpolation, cache=cache)

    assert path(renamed) == path(table)
    others = {path(table), path(changed), path(table, 11), path(table, SIDE, "bicubic")}
    assert len(others) == 4


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def other_shape(path: Path) -> None:
    header = path.with_suffix(".json")
    content = json.loads(header.read_text())
    header.write_text(json.dumps({**content, "shape": [1, 2, 3, 3]}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda path: flip(path, 1234), "does not match its hash", id="flipped"),
        pytest.param(cut, "bytes, not 3,600", id="cut"),
        pytest.param(lambda path: path.write_bytes(b""), "0 bytes", id="emptied"),
        pytest.param(other_shape, "its header is of something else", id="foreign_header"),
        pytest.param(lambda path: path.with_suffix(".json").unlink(), "no header", id="no_header"),
        pytest.param(
            lambda path: path.with_suffix(".json").write_text("[1"), "no header", id="bad_header"
        ),
        pytest.param(
            lambda path: path.with_suffix(".json").write_bytes(b"\x80\x04"),
            "no header",
            id="pickle",
        ),
    ],
)
def test_a_damaged_entry_is_decoded_again_and_that_is_said(
    table: ImageTable, cache: Path, damage: Callable[[Path], None], said: str
) -> None:
    first = ensure(table, cache)
    expected = np.array(first.decoded.images)
    damage(first.decoded.path)
    second = ensure(table, cache)
    assert second.built
    (note,) = second.notes
    assert said in note
    assert str(first.decoded.path) in note
    assert (second.decoded.images == expected).all()


def test_opening_does_not_build(table: ImageTable, cache: Path) -> None:
    def opened() -> DecodedImages:
        return open_decoded(table, side=SIDE, interpolation="bilinear", cache=cache)

    with pytest.raises(BadStore, match="no header"):
        opened()
    built = ensure(table, cache).decoded
    assert (opened().images == built.images).all()
    cut(built.path)
    with pytest.raises(BadStore, match="3,599 bytes, not 3,600"):
        opened()


def test_an_image_that_changed_after_the_check_is_named(
    table: ImageTable, cache: Path, folder: Path
) -> None:
    (folder / "cat" / "00.png").write_bytes((folder / "cat" / "01.png").read_bytes())
    (folder / "dog" / "00.png").unlink()
    with pytest.raises(SearchError) as caught:
        ensure(table, cache)
    assert caught.value.status is Exit.DATA
    assert [problem.fact for problem in caught.value.problems] == [
        "cat/00.png: its content is not what was checked",
        "dog/00.png: no such file or directory",
        "images changed after they were checked",
    ]
    assert [path.suffix for path in (cache / "decoded").iterdir()] == [".lock"]


def test_a_disk_that_is_too_full_is_said_with_path_and_free_bytes(
    table: ImageTable, cache: Path
) -> None:
    side = 3_000_000  # 12 x 3e6 x 3e6 x 3 bytes: 324 TB
    free = shutil.disk_usage(cache).free
    assert decoded_bytes(table, side=side) > free
    with pytest.raises(SearchError) as caught:
        ensure_decoded(table, side=side, interpolation="bicubic", cache=cache, progress=silent)
    assert caught.value.status is Exit.STORAGE
    fact = caught.value.problems[0].fact
    assert fact.startswith(f"decoded images need 324,000,000,000,000 bytes in {cache}/decoded, ")
    assert fact.endswith(" are free")


def test_a_disk_that_fills_while_decoding_leaves_nothing_behind(
    table: ImageTable, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(SearchError, match="are free") as caught:
            ensure(table, cache)
    assert caught.value.status is Exit.STORAGE
    assert [path.suffix for path in (cache / "decoded").iterdir()] == [".lock"]
    assert ensure(table, cache).built


def test_a_cache_that_cannot_be_written_is_said(table: ImageTable, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SearchError, match="cannot be written: not a directory") as caught:
        ensure(table, tmp_path / "file")
    assert caught.value.status is Exit.STORAGE


def test_what_a_killed_process_left_is_removed(table: ImageTable, cache: Path) -> None:
    path = decoded_path(table, side=SIDE, interpolation="bilinear", cache=cache)
    path.parent.mkdir(parents=True)
    path.with_suffix(".u8.tmp").write_bytes(b"half")
    path.write_bytes(b"renamed, but the header was not written")
    assert ensure(table, cache).built
    assert sorted(left.suffix for left in path.parent.iterdir()) == [".json", ".lock", ".u8"]


@pytest.mark.slow
def test_of_two_processes_at_once_one_decodes(
    table: ImageTable, cache: Path, tmp_path: Path
) -> None:
    save_table(table, tmp_path / "table.jsonl")
    code = (
        "import sys; from pathlib import Path\n"
        "from search.data.manifest import load_table\n"
        "from search.data.store import ensure_decoded\n"
        "told = []\n"
        "decoded = ensure_decoded(load_table(Path(sys.argv[1])), side=10,\n"
        "    cache=Path(sys.argv[2]), interpolation='bilinear',\n"
        "    progress=lambda *what: told.append(what[0]))\n"
        "print(any(what.startswith('decoding') for what in told), int(decoded.images.sum()))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "table.jsonl"), str(cache)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(3)
    ]
    said = sorted(process.communicate(timeout=60)[0].split() for process in running)
    total = str(int(ensure(table, cache).decoded.images.sum()))
    assert said == [["False", total], ["False", total], ["True", total]]


def test_images_that_are_mapped_are_not_evicted(table: ImageTable, cache: Path) -> None:
    images = ensure(table, cache).decoded.images  # the object that opened them is gone
    assert clear(cache, ("decoded",), before=FAR).gone == ()
    part = images[:2]
    del images
    assert clear(cache, ("decoded",), before=FAR).gone == ()
    del part
    assert len(clear(cache, ("decoded",), before=FAR).gone) == 1
    with pytest.raises(BadStore, match="no header"):
        open_decoded(table, side=SIDE, interpolation="bilinear", cache=cache)
    assert ensure(table, cache).built


def test_opening_marks_the_images_as_used_and_does_not_touch_what_was_verified(
    table: ImageTable, cache: Path
) -> None:
    path = ensure(table, cache).decoded.path
    os.utime(path, (10.0, 10.0))
    open_decoded(table, side=SIDE, interpolation="bilinear", cache=cache)
    assert path.stat().st_atime > 10.0
    assert path.stat().st_mtime == 10.0


def test_opening_again_and_again_keeps_no_file_open(table: ImageTable, cache: Path) -> None:
    decoded = ensure(table, cache).decoded
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        open_decoded(table, side=SIDE, interpolation="bilinear", cache=cache)
        cut(decoded.path)
        with pytest.raises(BadStore, match="bytes, not"):
            open_decoded(table, side=SIDE, interpolation="bilinear", cache=cache)
        with decoded.path.open("ab") as file:
            file.write(b"x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_activations_make_way_for_images_on_a_full_disk(
    table: ImageTable, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = cache / "activations" / "family" / "view" / "b5-1.rows"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"x" * 5_000)
    size = decoded_bytes(table, side=SIDE) + store._SPARE

    def free(of: Path) -> int:
        return size - 1_000 if rows.exists() else size

    monkeypatch.setattr("search.data.cache._free", free)
    assert ensure(table, cache).built
    assert not rows.exists()


def test_an_unknown_interpolation_is_a_broken_contract(table: ImageTable, cache: Path) -> None:
    with pytest.raises(ValueError, match="interpolation='nearest'"):
        open_decoded(table, side=SIDE, interpolation="nearest", cache=cache)


def test_a_disk_without_locks_is_refused_with_its_name(
    table: ImageTable, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", refused)
    with pytest.raises(SearchError, match="cannot be locked: no locks available") as caught:
        ensure_decoded(table, side=SIDE, interpolation="bilinear", cache=cache, progress=silent)
    assert caught.value.status is Exit.STORAGE
    assert str(cache) in str(caught.value)


def test_another_decoder_decodes_again(
    table: ImageTable, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"side": SIDE, "interpolation": "bilinear", "cache": cache}
    before = decoded_path(table, **arguments)  # type: ignore[arg-type]
    monkeypatch.setattr(store, "DECODER", "1 Pillow 0.0")
    assert decoded_path(table, **arguments) != before  # type: ignore[arg-type]
