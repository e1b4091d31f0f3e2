"""Which images are found to show nearly the same, and which are not."""

from __future__ import annotations

import time
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from search.data import likeness
from search.data.likeness import LIMIT, difference_hash, near_copies
from search.data.listing import Found, Listing
from search.data.prepare import check_files
from search.data.survey import look_at, survey

Changed = Image.Image


def scene(seed: int, side: int = 160) -> Image.Image:
    """Large shapes and some grain, another for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64)
    grain = rng.normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    held = BytesIO()
    image.save(held, "JPEG", quality=quality)
    return Image.open(held).convert("RGB")


CHANGES = {
    "quality_50": lambda image: jpeg(image, 50),
    "half_the_size": lambda image: image.resize((80, 80), Image.Resampling.LANCZOS),
    "twice_the_size": lambda image: image.resize((320, 320), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "more_contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
}


def groups_of(images: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("images")
    for index, image in enumerate(images):
        image.save(folder / f"{index:03}.png")
    found = tuple(Found(path=f"{index:03}.png", label="a") for index in range(len(images)))
    told = survey(
        Listing(root=folder, images=found),
        cache=folder / "cache",
        progress=lambda *_: None,
        workers=None,
    )
    assert told.compared
    return [group.paths for group in told.near]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_copy_is_found_among_others(
    change: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert callable(change)
    images = [scene(seed) for seed in range(12)]
    images.append(change(images[3]))
    assert groups_of(images, tmp_path_factory) == [("003.png", "012.png")]


@pytest.mark.slow
def test_different_pictures_are_no_copies(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert groups_of([scene(seed) for seed in range(40)], tmp_path_factory) == []


def test_pictures_of_nothing_are_not_compared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Flat ones have the same hash, and say nothing."""
    flat = [Image.new("RGB", (64, 64), (level, level, level)) for level in range(0, 250, 10)]
    assert groups_of(flat, tmp_path_factory) == []


def test_what_is_alike_through_a_third_is_one_group() -> None:
    thumbs = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    ends = [0, (1 << LIMIT) - 1, ((1 << LIMIT) - 1) << LIMIT | ((1 << LIMIT) - 1)]
    found = near_copies(np.array(ends, dtype=np.uint64), thumbs)
    assert found.groups == ((0, 1, 2),)  # 0 and 2 differ in 12 bits


@pytest.mark.slow
@pytest.mark.parametrize("bits", range(LIMIT + 2))
def test_hashes_are_found_up_to_the_limit_wherever_their_bits_are(bits: int) -> None:
    rng = np.random.default_rng(bits)
    thumbs = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    for _ in range(50):
        one = int(rng.integers(0, 2**63))
        other = one
        for place in rng.permutation(64)[:bits]:
            other ^= 1 << int(place)
        found = near_copies(np.array([one, other], dtype=np.uint64), thumbs)
        assert found.groups == (((0, 1),) if bits <= LIMIT else ())


def test_the_hash_is_of_differences_to_the_right() -> None:
    rows: NDArray[np.uint8] = np.tile(np.arange(9, dtype=np.uint8), (8, 1))
    assert difference_hash(rows) == 2**64 - 1
    assert difference_hash(rows[:, ::-1]) == 0
    rows[0, 0] = 255  # the first bit is the highest
    assert difference_hash(rows) == 2**63 - 1


def test_too_many_alike_are_said_not_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "MOST_PAIRS", 10)
    thumbs = np.tile(np.arange(256, dtype=np.uint8), (50, 1))
    assert not near_copies(np.zeros(50, dtype=np.uint64), thumbs).whole


def test_no_images_are_no_copies() -> None:
    empty = near_copies(np.zeros(0, dtype=np.uint64), np.zeros((0, 256), dtype=np.uint8))
    assert (empty.groups, empty.whole) == ((), True)


def test_a_damaged_file_says_why(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("x") / "a.png"
    file.write_bytes(b"none")
    assert look_at(str(file)).reason.startswith("is none of")


def test_what_was_opened_need_not_be_opened_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The run after ``search init`` opens only what has changed since."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("a.png", "b.png", "c.png"):
        scene(len(name), 32).save(folder / name)
    (folder / "c.png").write_bytes(b"none")
    found = tuple(Found(path=name, label="a") for name in ("a.png", "b.png", "c.png"))
    listing = Listing(root=folder, images=found)
    survey(listing, cache=folder / "cache", progress=lambda *_: None)
    scene(7, 48).save(folder / "b.png")
    told: list[tuple[int, int]] = []
    checked = check_files(
        folder,
        [image.path for image in found],
        cache=folder / "cache",
        progress=lambda _what, done, total: told.append((done, total)),
    )
    assert told[0] == (1, 3)  # a.png: b.png has changed, c.png was bad
    assert checked["c.png"].reason.startswith("is none of")
    assert checked["a.png"].sha256 != checked["b.png"].sha256


@pytest.mark.slow
@pytest.mark.thorough
def test_a_hundred_thousand_are_compared_in_seconds() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 100_000, dtype=np.uint64)
    thumbs = rng.integers(0, 256, (100_000, 256), dtype=np.uint8)
    began = time.process_time()
    assert near_copies(hashes, thumbs).whole
    assert time.process_time() - began < 30
