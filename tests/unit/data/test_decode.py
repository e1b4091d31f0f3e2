"""Every file format and pixel mode becomes right RGB, or is refused with a reason."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from search.data.decode import (
    INTERPOLATIONS,
    MAX_PIXELS,
    BadImage,
    decode_rgb,
    hash_and_decode,
    square,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(width: int = 16, height: int = 8) -> Image.Image:
    """Quarters: red, green / blue, white; wide, so that a turn is seen."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def saved(folder: Path, image: Image.Image, name: str, **options: object) -> Path:
    path = folder / name
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def at(path: Path, x: int = 0, y: int = 0) -> tuple[int, ...]:
    image = decode_rgb(path)
    assert image.mode == "RGB"
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def near(value: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 3) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(value, expected, strict=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 100, "subsampling": 0}),
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.bmp", {}),
        ("a.tiff", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.gif", {}),
    ],
)
def test_every_format_keeps_its_colours(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    path = saved(tmp_path, corners(), name, **options)
    assert decode_rgb(path).size == (16, 8)
    assert near(at(path, 1, 1), RED)
    assert near(at(path, 14, 1), GREEN)
    assert near(at(path, 1, 6), BLUE)
    assert near(at(path, 14, 6), WHITE)


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    path = saved(tmp_path, corners(), "a.png")
    assert at(path.rename(tmp_path / "a.jpg")) == RED


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    assert at(saved(tmp_path, Image.new("L", (4, 4), 77), "a.png")) == (77, 77, 77)


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    image = Image.new("1", (4, 4), 1)
    image.putpixel((0, 0), 0)
    path = saved(tmp_path, image, "a.png")
    assert (at(path), at(path, 1, 1)) == ((0, 0, 0), WHITE)


def test_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert at(saved(tmp_path, image, "a.png")) == (10, 200, 30)


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_a_clear_palette_colour_lies_on_white(tmp_path: Path, name: str) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.putpixel((0, 0), 0)
    path = saved(tmp_path, image, name, transparency=0)
    assert (at(path), at(path, 1, 1)) == (WHITE, (10, 200, 30))


def test_palette_with_alpha_for_each_colour_is_blended_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    path = saved(tmp_path, image, "a.png", transparency=bytes([255, 51]))
    # 51/255 = .2 of (200, 0, 0) on .8 of white: (244, 204, 204)
    assert near(at(path), (244, 204, 204), 1)


def test_grey_with_alpha_is_blended_on_white(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("LA", (4, 4), (100, 51)), "a.png")
    assert near(at(path), (224, 224, 224), 1)  # .2 * 100 + .8 * 255 = 224


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
def test_rgba_is_blended_on_white(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    image = Image.new("RGBA", (4, 4), (100, 0, 0, 51))
    image.putpixel((0, 0), (9, 9, 9, 0))
    path = saved(tmp_path, image, name, **options)
    assert near(at(path, 2, 2), (224, 204, 204), 1)
    assert at(path) == WHITE


def test_a_clear_rgb_colour_lies_on_white(tmp_path: Path) -> None:
    path = saved(tmp_path, corners(), "a.png", transparency=RED)
    assert (at(path), at(path, 14, 1)) == (WHITE, GREEN)


@pytest.mark.parametrize("name", ["a.jpg", "a.tiff"])
def test_cmyk_is_converted_and_not_inverted(tmp_path: Path, name: str) -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow: red
    options = {"quality": 100} if name.endswith("jpg") else {}
    assert near(at(saved(tmp_path, ink, name, **options)), RED, 4)


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_sixteen_bit_grey_is_divided_by_257_and_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 257 * 10, 257 * 128, 65_535]], dtype=np.uint16)
    path = saved(tmp_path, Image.fromarray(values), name)
    assert [at(path, x)[0] for x in range(4)] == [0, 10, 128, 255]


def png(bits: int, colour: int, width: int, row: bytes, extra: bytes = b"") -> bytes:
    """A PNG of one row, written by hand: PIL writes no 16-bit RGB and no 16-bit tRNS."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + body + chunk(b"IEND", b"")


def test_sixteen_bit_rgb_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(16, 2, 2, struct.pack(">6H", 65_535, 257 * 128, 0, 257, 514, 771)))
    assert (at(path, 0), at(path, 1)) == ((255, 128, 0), (1, 2, 3))


def test_a_clear_value_of_sixteen_bit_grey_lies_on_white(tmp_path: Path) -> None:
    clear = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 257)
    clear += struct.pack(">I", zlib.crc32(clear[4:]))
    path = tmp_path / "a.png"
    path.write_bytes(png(16, 0, 2, struct.pack(">2H", 257, 514), extra=clear))
    assert (at(path, 0), at(path, 1)) == (WHITE, (2, 2, 2))


def test_sixteen_bit_where_white_is_zero_is_inverted(tmp_path: Path) -> None:
    values = np.array([[0, 65_535]], dtype=np.uint16)
    path = saved(tmp_path, Image.fromarray(values), "a.tiff", tiffinfo={262: 0})
    with Image.open(path) as image:
        assert image.tag_v2[262] == 0  # type: ignore[attr-defined]
    assert (at(path, 0), at(path, 1)) == (WHITE, (0, 0, 0))


def test_integers_of_32_bits_count_as_16_bit_grey_or_are_refused(tmp_path: Path) -> None:
    fits = np.array([[0, 257 * 200]], dtype=np.int32)
    assert at(saved(tmp_path, Image.fromarray(fits), "a.tiff"), 1) == (200, 200, 200)
    over = np.array([[-1, 70_000]], dtype=np.int32)
    with pytest.raises(BadImage, match=r"from -1 to 70000, outside 0\.\.65535"):
        decode_rgb(saved(tmp_path, Image.fromarray(over), "b.tiff"))


def test_floats_are_taken_as_0_to_1_or_refused(tmp_path: Path) -> None:
    fits = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    path = saved(tmp_path, Image.fromarray(fits), "a.tiff")
    assert [at(path, x)[0] for x in range(3)] == [0, 128, 255]  # 127.5 rounds to even
    for name, bad in [("b.tiff", 3.5), ("c.tiff", float("nan")), ("d.tiff", float("inf"))]:
        over = np.array([[0.0, bad]], dtype=np.float32)
        with pytest.raises(BadImage, match=r"outside 0\.\.1"):
            decode_rgb(saved(tmp_path, Image.fromarray(over), name))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_once(tmp_path: Path, name: str, orientation: int) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera was turned the other way
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    stored = corners() if turn is None else corners().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"exif": exif}
    if name.endswith("jpg"):
        options |= {"quality": 100, "subsampling": 0}
    if name.endswith("webp"):
        options |= {"lossless": True}
    path = saved(tmp_path, stored, name, **options)
    assert decode_rgb(path).size == (16, 8)
    assert near(at(path, 1, 1), RED)
    assert near(at(path, 14, 1), GREEN)
    assert near(at(path, 1, 6), BLUE)


def test_damaged_exif_does_not_cost_the_image(tmp_path: Path) -> None:
    path = saved(tmp_path, corners(), "a.png", exif=b"Exif\0\0garbage that is no TIFF header")
    assert at(path) == RED


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tiff"])
def test_the_first_frame_of_an_animation_counts(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert at(path) == RED


def noise(mode: str = "RGB", side: int = 64) -> Image.Image:
    generator = np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
    return image.convert(mode)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tiff", "a.gif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = saved(tmp_path, noise(), name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadImage):
        decode_rgb(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is empty", id="zero_bytes"),
        pytest.param(b"hello, world\n" * 20, "is none of JPEG, PNG, WEBP", id="text"),
        pytest.param(b"\xff\xd8\xff\xe0" + b"\0" * 50, "is none|cannot be", id="jpeg_head"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", "is none of", id="eps_is_never_run"),
        pytest.param(b"\x80\x04\x95", "is none of", id="pickle"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(BadImage, match=reason) as caught:
        decode_rgb(path)
    assert caught.value.reason
    assert "\n" not in caught.value.reason


def test_what_is_not_there_not_a_file_or_a_pipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="no such file"):
        decode_rgb(tmp_path / "none.png")
    with pytest.raises(BadImage, match="not a regular file"):
        decode_rgb(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImage, match="not a regular file"):
        decode_rgb(tmp_path / "pipe.png")


def bomb(folder: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header is right and promises these many pixels."""
    head = bytearray(png(8, 2, 1, b"\0\0\0"))
    head[16:24] = struct.pack(">II", width, height)
    head[29:33] = struct.pack(">I", zlib.crc32(bytes(head[12:29])))
    path = folder / "bomb.png"
    path.write_bytes(head)
    return path


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        pytest.param(20_000, 20_000, "megapixels", id="400_megapixels"),
        pytest.param(10_000, 9_500, "10000 x 9500 = 95 megapixels, more than 89", id="just_over"),
    ],
)
def test_a_bomb_is_refused_from_its_header(
    tmp_path: Path, width: int, height: int, said: str
) -> None:
    assert width * height > MAX_PIXELS
    path = bomb(tmp_path, width, height)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(BadImage, match=said):
        decode_rgb(path)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_bomb_is_refused_where_others_have_lifted_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(BadImage, match="20000 x 20000 = 400 megapixels"):
        decode_rgb(bomb(tmp_path, 20_000, 20_000))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bytes_give_an_image_or_a_bad_image_and_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"]))
    buffer = BytesIO()
    noise(side=12).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = Path(tempfile.gettempdir()) / f"flipped-{os.getpid()}"
    try:
        path.write_bytes(content)
        with suppress(BadImage):
            assert decode_rgb(path).mode == "RGB"
    finally:
        path.unlink(missing_ok=True)


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path, corners(), "a.png")
    digest, image = hash_and_decode(path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert image.tobytes() == decode_rgb(path).tobytes()


def resize_then_crop(image: Image.Image, side: int, interpolation: str) -> np.ndarray:
    """What torchvision's Resize and CenterCrop do, in their own words."""
    width, height = image.size
    short = min(width, height)
    size = (int(side * width / short), int(side * height / short))
    whole = image.resize(size, INTERPOLATIONS[interpolation])
    left, top = round((size[0] - side) / 2.0), round((size[1] - side) / 2.0)
    return np.asarray(whole.crop((left, top, left + side, top + side)))


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(10, 80),
    height=st.integers(10, 80),
    side=st.integers(1, 80),
    interpolation=st.sampled_from(sorted(INTERPOLATIONS)),
)
def test_square_is_resize_then_centre_crop(
    width: int, height: int, side: int, interpolation: str
) -> None:
    generator = np.random.default_rng(width * 100 + height)
    image = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    ours = square(image, side, interpolation)
    assert ours.shape == (side, side, 3)
    assert ours.dtype == np.uint8
    assert (ours == resize_then_crop(image, side, interpolation)).all()


@pytest.mark.parametrize(("width", "height"), [(4, 400), (400, 4), (3, 31), (1, 9)])
@pytest.mark.parametrize("side", [2, 20, 33])
def test_square_of_a_sliver_is_the_same_crop(width: int, height: int, side: int) -> None:
    ramp = np.linspace(0, 255, max(width, height))
    plane = np.broadcast_to(ramp[None, :] if width > height else ramp[:, None], (height, width))
    image = Image.fromarray(np.repeat(plane[..., None], 3, axis=2).astype(np.uint8))
    theirs = resize_then_crop(image, side, "bilinear").astype(int)
    assert np.abs(square(image, side, "bilinear").astype(int) - theirs).max() <= 1


def test_square_of_a_sliver_costs_no_more_than_its_crop() -> None:
    sliver = Image.new("RGB", (1, 60_000), (10, 20, 30))
    assert (square(sliver, 280, "bicubic") == (10, 20, 30)).all()
