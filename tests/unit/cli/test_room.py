"""A run that would end in a full disk is refused with the sum."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.cli.options import SpaceFlags
from search.cli.room import (
    Decoded,
    Disk,
    Need,
    Streaming,
    check_room,
    checkpoint_bytes,
    lacking,
    stored,
)
from search.cli.space_file import load_space
from search.data.images import DecodedForm, ImageRow, ImageTable
from search.problems import Exit, SearchError

GIB = 2**30
CACHE, STUDY = Path("/cache"), Path("/studies/flowers")
NEEDS = (
    Need(what="decoded images", place=CACHE, bytes=8 * GIB),
    Need(what="weights to download", place=CACHE, bytes=0),
    Need(what="checkpoints of 6 trials", place=STUDY, bytes=2 * GIB),
)


def test_checkpoints_are_those_kept_those_running_and_the_default_ones() -> None:
    # 25 M parameters x 4 bytes x (3 kept + 1 default + 2 running x (1 + 2 x (weights + 2 moments)))
    assert checkpoint_bytes(25_000_000, keep=3, running=2, default=True) == 1_800_000_000
    assert checkpoint_bytes(25_000_000, keep=0, running=1, default=False) == 700_000_000
    one = checkpoint_bytes(25_000_000, keep=0, running=1, default=False, averages=True)
    assert one == 900_000_000


@pytest.mark.parametrize(
    ("cache", "study", "fact"),
    [
        pytest.param((1, 12), (1, 12), "", id="one_disk_with_room"),
        # 8 + 2 + 1 in reserve
        pytest.param((1, 10), (1, 10), "about 11.0 GiB will be needed", id="one_disk_too_small"),
        pytest.param((1, 9), (2, 3), "", id="two_disks_with_room"),
        pytest.param((1, 8), (2, 99), "/cache: about 9.0 GiB", id="no_room_for_images"),
        pytest.param((1, 99), (2, 2), "/studies/flowers: about 3.0 GiB", id="nor_for_weights"),
    ],
)
def test_what_is_written_to_one_disk_is_added_up(
    cache: tuple[int, int], study: tuple[int, int], fact: str
) -> None:
    disks = {
        CACHE: Disk(device=cache[0], free=cache[1] * GIB),
        STUDY: Disk(device=study[0], free=study[1] * GIB),
    }
    error = lacking(NEEDS, disks, reserve=GIB)
    assert (error is None) == (fact == "")
    if error is not None:
        assert fact in error.problems[0].fact
        assert error.status is Exit.STORAGE


def test_the_message_has_every_number() -> None:
    disk = Disk(device=1, free=3 * 2**20)
    error = lacking(NEEDS, {CACHE: disk, STUDY: disk}, reserve=500 * 2**20)
    assert error is not None
    assert error.problems[0].fact == (
        "/cache and /studies/flowers: about 10.5 GiB will be needed on that disk (decoded images "
        "8.0 GiB, checkpoints of 6 trials 2.0 GiB, reserve 500 MiB), 3 MiB is free"
    )


def test_nothing_to_write_is_never_too_much() -> None:
    empty = Need(what="decoded images", place=CACHE, bytes=0)
    assert lacking([empty], {CACHE: Disk(device=1, free=0)}) is None


def test_what_a_study_will_write_is_found_from_its_space_and_images(
    space_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    spec = load_space(
        space_file, SpaceFlags(sets=("resources.concurrency=1", "checkpoints.keep=1")), env={}
    ).spec
    row = ImageRow(path="a.png", label=0, part="train", sha256="0" * 64)
    table = ImageTable(root=tmp_path, classes=("a", "b"), rows=(row,) * 1000, fingerprint="f" * 64)
    full = Disk(device=1, free=0)
    with pytest.raises(SearchError) as caught:
        check_room(spec, table, ["resnet50"], tmp_path / "cache", disk=lambda _: full)
    fact = caught.value.problems[0].fact
    assert "decoded images 41 MiB" in fact  # 1000 x 120 x 120 x 3 bytes
    assert "weights to download 97 MiB" in fact  # 25.6 M x 4 bytes
    assert "checkpoints of 3 trials 877 MiB" in fact  # 97.5 MiB x (2 + 1 + 2 x 3)
    assert "reserve 500 MiB" in fact
    room = Disk(device=1, free=2 * GIB)
    found = check_room(spec, table, ["resnet50"], tmp_path / "cache", disk=lambda _: room)
    assert found.forms == ()
    file = tmp_path / "studies" / "solar-cells" / "trials" / "00000" / "best.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    os.truncate(file, 200 * 2**20)
    with pytest.raises(SearchError, match="checkpoints of 3 trials 677 MiB"):
        check_room(spec, table, ["resnet50"], tmp_path / "cache", disk=lambda _: full)


def decoded(side: int, size: int, *, there: bool = False) -> Decoded:
    form = DecodedForm(side=side, interpolation="bilinear")
    return Decoded(form=form, bytes=size, there=there)


@pytest.mark.parametrize(
    ("wanted", "budget", "free", "kept"),
    [
        pytest.param([decoded(40, 3), decoded(80, 5)], None, 8, [40, 80], id="all_fit"),
        pytest.param([decoded(80, 5), decoded(40, 3)], None, 7, [40], id="smallest_first"),
        pytest.param([decoded(80, 5), decoded(40, 3)], 7, 99, [40], id="within_the_budget"),
        pytest.param([decoded(40, 3)], 0, 99, [], id="a_budget_of_nothing"),
        pytest.param([decoded(40, 3)], None, 0, [], id="a_full_disk"),
        # What is there counts for the budget, and takes no more of the disk.
        pytest.param([decoded(80, 5, there=True), decoded(40, 3)], 7, 99, [80], id="there_first"),
        pytest.param([decoded(80, 5, there=True), decoded(40, 3)], 8, 3, [80, 40], id="beside"),
        pytest.param([decoded(80, 5, there=True)], 1, 0, [80], id="there_beyond_the_budget"),
    ],
)
def test_decoded_images_are_stored_while_they_fit(
    wanted: list[Decoded], budget: int | None, free: int, kept: list[int]
) -> None:
    found = stored(wanted, budget=budget, fits=lambda more: more <= free)
    assert [each.form.side for each in found] == kept


def test_images_are_streamed_where_only_the_rest_fits(
    space_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    row = ImageRow(path="a.png", label=0, part="train", sha256="0" * 64)
    table = ImageTable(root=tmp_path, classes=("a", "b"), rows=(row,) * 1000, fingerprint="f" * 64)

    def check(free: int, *sets: str) -> Streaming:
        few = ("resources.concurrency=1", "checkpoints.keep=1")
        spec = load_space(space_file, SpaceFlags(sets=(*few, *sets)), env={}).spec
        disk = Disk(device=1, free=free)
        return check_room(spec, table, ["resnet50"], tmp_path / "cache", disk=lambda _: disk)

    # Of 41.2 MiB of images: 97.5 + 877.4 + 500 MiB is what the rest needs.
    found = check(1500 * 2**20)
    assert [form.side for form in found.forms] == [120]
    assert found.bytes == 1000 * 120 * 120 * 3
    assert str(found) == (
        "decoded images of 120 px would need 41 MiB, there is room for 25 MiB: images are decoded "
        "again in every epoch; frozen activations are still stored where they fit"
    )
    assert check(1520 * 2**20).forms == ()
    found = check(2 * GIB, "cache.max_gb=0.04")
    assert (len(found.forms), found.room) == (1, 40_000_000)
    assert check(2 * GIB, "cache.max_gb=0.05").forms == ()
