"""Segments of stored features: the same bits come back, or it is no segment."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.space.spec import ActivationType
from search.training import segments
from search.training.prefix import rounded
from search.training.rows import from_rows, to_rows
from search.training.segments import (
    BadSegment,
    RowForm,
    SegmentWriter,
    open_segment,
    segment_bytes,
)

CPU = torch.device("cpu")
FORM = RowForm(shape=(3,), dtype="float16", computed="float32", channels_last=False)
KEYS = np.array([7, 2**64 - 1, 0, 9], dtype=np.uint64)
ROWS = np.arange(12, dtype=np.float16).reshape(4, 3)


def write(path: Path, keys: NDArray[np.uint64], rows: NDArray[Any], form: RowForm) -> None:
    writer = SegmentWriter(path, keys, form)
    writer.append(rows)
    writer.publish()
    segments._verified.clear()  # as another process sees it


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "b5-x.rows"
    write(found, KEYS, ROWS, FORM)
    return found


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    count=st.integers(1, 9),
    computed=st.sampled_from([torch.float32, torch.bfloat16]),
    activations=st.sampled_from(["float16", "float32"]),
    channels_last=st.booleans(),
    seed=st.integers(0, 1_000),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(max_examples=60, deadline=None)
def test_features_come_back_to_the_last_bit_in_their_layout(
    shape: list[int],
    count: int,
    computed: torch.dtype,
    activations: ActivationType,
    channels_last: bool,
    seed: int,
    scale: float,
) -> None:
    random = torch.Generator().manual_seed(seed)
    features = (scale * torch.randn(count, *shape, generator=random)).to(computed)
    if channels_last and len(shape) == 3:
        features = features.to(memory_format=torch.channels_last)
    features = rounded(features, activations)
    keys = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "b1-x.rows"
        rows, form = to_rows(features, activations)
        write(place, keys, rows, form)
        segment = open_segment(place)
        assert segment is not None
        found = from_rows(np.array(segment.rows), segment.form, CPU)
        assert place.stat().st_size <= segment_bytes(count, form)
    assert np.array_equal(segment.keys, keys)
    assert found.dtype == features.dtype
    assert torch.equal(found, features)
    if all(side > 1 for side in shape):  # with sides of 1 several strides mean the same
        assert found.stride() == features.stride()


def test_every_cut_is_found(path: Path) -> None:
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        segments._verified.clear()
        with pytest.raises(BadSegment):
            open_segment(path)


def test_every_flipped_bit_is_found(path: Path) -> None:
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        segments._verified.clear()
        with pytest.raises(BadSegment):
            open_segment(path)


@given(content=st.binary(max_size=200), end=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_other_file_is_no_segment(content: bytes, end: bool) -> None:
    tail = segments._TAIL.pack(max(0, len(content) - 40), segments._MAGIC) if end else b""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "b1-x.rows"
        place.write_bytes(content + tail)
        with pytest.raises(BadSegment):
            open_segment(place)


def lie(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header.update(changes)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lie(shape=[4]), id="larger_rows"),
        pytest.param(lie(shape=[]), id="smaller_rows"),
        pytest.param(lie(shape=[3, 0]), id="no_rows"),
        pytest.param(lie(shape=[-3]), id="negative"),
        pytest.param(lie(shape=[-1, -3]), id="negative_twice"),
        pytest.param(lie(shape=[2**70]), id="huge"),
        pytest.param(lie(shape=[1.5]), id="fraction"),
        pytest.param(lie(shape="3"), id="text"),
        pytest.param(lie(shape=None), id="none"),
        pytest.param(lie(shape=[1] * 40 + [3]), id="too_many_sides"),
        pytest.param(lie(dtype="float32"), id="wider"),
        pytest.param(lie(dtype="object"), id="objects"),
        pytest.param(lie(dtype="int16"), id="other_numbers"),
        pytest.param(lie(computed="complex64"), id="computed"),
        pytest.param(lie(channels_last=True), id="layout"),
        pytest.param(lie(keys=[]), id="without_keys"),
        pytest.param(lie(keys=["0"] * 3), id="fewer_keys"),
        pytest.param(lie(keys=["zz"] * 4), id="keys_that_are_no_numbers"),
        pytest.param(lie(keys=["f" * 17] * 4), id="keys_that_are_too_large"),
        pytest.param(lie(keys=[-1] * 4), id="keys_that_are_no_text"),
        pytest.param(lambda header: header.pop("dtype"), id="missing"),
    ],
)
@pytest.mark.parametrize("signed", [False, True], ids=["as_it_is", "with_its_hash_put_right"])
def test_a_header_that_lies_is_never_believed(
    path: Path, change: Callable[[dict[str, Any]], None], signed: bool
) -> None:
    header = json.loads(path.read_bytes()[ROWS.nbytes : -48])
    change(header)
    raw = json.dumps(header).encode()
    content = ROWS.tobytes() + raw
    digest = segments.hashlib.sha256(content).digest() if signed else b"\0" * 32
    path.write_bytes(content + digest + segments._TAIL.pack(len(raw), segments._MAGIC))
    with pytest.raises(BadSegment):
        open_segment(path)


@pytest.mark.parametrize("bytes_that_fit", [0, 10, segments._HEADER, 5_000, 16_000, 24_700])
def test_a_disk_that_fills_leaves_nothing_behind(tmp_path: Path, bytes_that_fit: int) -> None:
    # 4,096 rows of 6 bytes, then a header: 24,576 bytes and some 80 kB
    with _no_file_beyond(bytes_that_fit), pytest.raises(OSError, match="File too large"):
        _write_or_abandon(tmp_path / "b5-x.rows")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("where", "what"), [(os, "fsync"), (Path, "replace")])
def test_a_disk_that_fails_at_the_end_leaves_nothing_behind(
    tmp_path: Path, where: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(where, what, fail)
    with pytest.raises(OSError, match="Input/output error"):
        _write_or_abandon(tmp_path / "b5-x.rows")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_it_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "b5-x.rows", np.arange(4_096, dtype=np.uint64), FORM)
    (growing,) = tmp_path.iterdir()
    with _no_file_beyond(10), pytest.raises(OSError, match="File too large"):
        writer.append(np.tile(ROWS, (1_024, 1)))
    assert growing.exists()
    with _no_file_beyond(10):
        writer.abandon()
    assert list(tmp_path.iterdir()) == []


def _write_or_abandon(path: Path) -> None:
    writer = SegmentWriter(path, np.arange(4_096, dtype=np.uint64), FORM)
    try:
        for _ in range(1_024):
            writer.append(ROWS)
        writer.publish()
    finally:
        writer.abandon()


@contextmanager
def _no_file_beyond(size: int) -> Iterator[None]:
    """A limit of the process, which is met as a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_segment_that_is_not_whole_is_not_published(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "b5-x.rows", KEYS, FORM)
    writer.append(ROWS[:3])
    with pytest.raises(ValueError, match="6 bytes of the segment are missing"):
        writer.publish()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_what_is_being_written_has_its_size_from_the_start(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "b5-x.rows", KEYS, FORM)
    (growing,) = tmp_path.iterdir()
    assert growing.stat().st_size == segment_bytes(len(KEYS), FORM) > ROWS.nbytes
    writer.abandon()


def test_an_open_segment_keeps_one_file_open_and_a_bad_one_none(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    segment = open_segment(path)
    assert segment is not None
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert np.array_equal(segment.rows, ROWS)
    del segment
    path.write_bytes(b"x" * 500)
    with pytest.raises(BadSegment):
        open_segment(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_unfinished_file_that_is_removed_before_it_is_held_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(file: Any, how: int) -> None:
        monkeypatch.undo()
        Path(file.name).unlink()  # by who looks for what killed processes left
        segments.fcntl.flock(file, how)

    monkeypatch.setattr(segments.fcntl, "flock", removed)
    write(tmp_path / "b5-x.rows", KEYS, ROWS, FORM)
    segment = open_segment(tmp_path / "b5-x.rows")
    assert segment is not None
    assert np.array_equal(segment.rows, ROWS)


def test_a_segment_that_is_evicted_as_soon_as_it_appears_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evicted(self: Path, target: Path) -> None:
        os.replace(self, target)
        target.unlink()

    monkeypatch.setattr(Path, "replace", evicted)
    write(tmp_path / "b5-x.rows", KEYS, ROWS, FORM)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_of_other_images_is_not_held(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert open_segment(path, lambda keys: 8 in keys) is None
    assert open_segment(path, lambda keys: 9 in keys) is not None
    assert len(os.listdir("/proc/self/fd")) == before
