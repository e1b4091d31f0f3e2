"""One image file -> right RGB pixels, or a reason why not.

The only home of PIL. A file is judged by its content, never by its name, and
is hostile until decoded: the size in its header is checked before a pixel is
allocated, and whatever a decoder raises becomes a :class:`BadImage`.
Legend: H height, W width, S side of a square, C = 3 channels (RGB).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import warnings
from io import BufferedReader
from pathlib import Path
from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, UnidentifiedImageError

DECODE_VERSION = 1
"""Raised whenever the same bytes would give other pixels; part of every store key."""
DECODER = f"{DECODE_VERSION} Pillow {PIL.__version__}"
"""What made the pixels; part of every store key. Pillow brings its own decoders, and
another version of them may round differently."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 89_478_485
"""Width x height that is still decoded: a quarter of a GiB as RGB (PIL's own default)."""

Interpolation: TypeAlias = Literal["bilinear", "bicubic"]
INTERPOLATIONS: dict[str, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

_SLIVER = 8
_HUSHED = ("ignore", None, Warning, re.compile("PIL"), 0)
"""A filter of ``warnings``: whatever PIL's own modules say."""
_ORIENTATION = 0x0112  # EXIF and TIFF tag
_BITS_PER_SAMPLE = 258  # TIFF tag
_PHOTOMETRIC = 262  # TIFF tag; 0 is "white is zero"
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImage(Exception):
    """The file is no image that we can use; ``reason`` says why, in lower case."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def decode_rgb(path: Path) -> Image.Image:
    """The file's pixels as mode RGB, upright.

    EXIF rotation is applied; transparency lies on white; CMYK is converted;
    16-bit grey is divided by 257, not clipped; floats are taken as 0..1; of an
    animation the first frame counts.

    Raises:
        BadImage: If the file cannot be read, is none of FORMATS, is damaged or
            cut short, has more than MAX_PIXELS, or holds values whose range is
            unknown (integers outside 0..65535, floats outside 0..1).
    """
    with _opened(path) as file:
        return _decode(file)


def hash_and_decode(path: Path) -> tuple[str, Image.Image]:
    """The sha256 of the file's bytes, 64 hex digits, and :func:`decode_rgb` of the same bytes.

    Raises:
        BadImage: As :func:`decode_rgb`.
    """
    with _opened(path) as file:
        return _digest(file), _decode(file)


def checked_square(
    path: Path, sha256: str, *, side: int, interpolation: str
) -> npt.NDArray[np.uint8]:
    """:func:`square` of a file that was checked before; safe in threads.

    A file with another content is not decoded at all.

    Args:
        path: Of the image.
        sha256: What its bytes had when it was checked, 64 hex digits.
        side: As ``square``'s.
        interpolation: As ``square``'s.

    Raises:
        BadImage: If its content is another, or as :func:`decode_rgb`.
    """
    with _opened(path) as file:
        if _digest(file) != sha256:
            raise BadImage("its content is not what was checked")
        return square(_decode(file), side, interpolation)


def square(image: Image.Image, side: int, interpolation: str) -> npt.NDArray[np.uint8]:
    """The image's centre as a square: short side resized to ``side``, then centre crop.

    Args:
        image: Mode RGB, any size.
        side: Pixels, >= 1.
        interpolation: ``bilinear`` or ``bicubic``, antialiased.

    Returns:
        uint8 [S, S, C].

    Source: torchvision's Resize (long side cut to a whole pixel) and CenterCrop
    (offset rounded), to the last bit. Deviation: of a sliver, longer than
    _SLIVER times its width, only what the crop keeps is computed, so that a
    1 x 60000 image costs no more than its crop.
    """
    width, height = image.size
    short = min(width, height)
    filter_ = INTERPOLATIONS[interpolation]
    size = (side * width // short, side * height // short)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    if max(width, height) <= _SLIVER * short:
        cut = image.resize(size, filter_).crop((left, top, left + side, top + side))
    else:
        across, down = width / size[0], height / size[1]
        box = (left * across, top * down, (left + side) * across, (top + side) * down)
        cut = image.resize(
            (side, side), filter_, (*box[:2], min(box[2], width), min(box[3], height))
        )
    return np.asarray(cut, dtype=np.uint8)


def _opened(path: Path) -> BufferedReader:
    """The file, once it is known to be a regular one: opening a pipe would wait for ever."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadImage("is not a regular file")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise BadImage(_said(error)) from error


def _digest(file: BufferedReader) -> str:
    """The sha256 of a file's bytes; it stands at its start again."""
    try:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
    except OSError as error:
        raise BadImage(_said(error)) from error
    return digest


def _decode(file: BufferedReader) -> Image.Image:
    _hush()
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BadImage(
                    f"has {width} x {height} = {width * height / 1e6:.0f} megapixels, "
                    f"more than {MAX_PIXELS / 1e6:.0f}"
                )
            image.load()
            return _turned(_rgb(image), _orientation(image))
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(f"has more than {MAX_PIXELS / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        empty = file.seek(0, os.SEEK_END) == 0
        raise BadImage(
            "is empty (0 bytes)" if empty else f"is none of {', '.join(FORMATS)}"
        ) from error
    except Exception as error:  # a decoder fed hostile bytes may raise anything
        raise BadImage(_said(error)) from error


def _hush() -> None:
    """What PIL says of damaged metadata is no concern of ours.

    Once and for good: ``catch_warnings`` puts back what it found, and several
    threads, each putting back what another had set, may leave anything behind.
    """
    if _HUSHED not in warnings.filters:
        warnings.filterwarnings("ignore", module="PIL")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that is still to be applied; 1 is upright, also when unreadable."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # right pixels with damaged EXIF are still right pixels
        return 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURN.get(orientation)
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        paper = Image.new("RGBA", clear.size, "white")
        paper.alpha_composite(clear)
        return paper.convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Deep grey pixels scaled to 0..255 by a fixed factor, uint8 [H, W]."""
    tags = cast("dict[int, object]", getattr(image, "tag_v2", {}))
    pixels_HW = np.asarray(image)
    low, high = float(pixels_HW.min()), float(pixels_HW.max())
    if image.mode == "F":
        if not 0.0 <= low <= high <= 1.0:  # NaN is refused as well
            raise BadImage(f"has float pixels from {low:g} to {high:g}, outside 0..1")
        white = 1.0
    else:
        if not 0 <= low <= high <= 65_535:
            raise BadImage(f"has integer pixels from {low:.0f} to {high:.0f}, outside 0..65535")
        white = 4095.0 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65_535.0
    scaled_HW = np.rint(pixels_HW.astype(np.float64) * (255.0 / white))
    if tags.get(_PHOTOMETRIC) == 0:
        scaled_HW = 255.0 - scaled_HW
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        scaled_HW[pixels_HW == clear] = 255.0
    return scaled_HW.astype(np.uint8)


def _said(error: Exception) -> str:
    """One line about why a file cannot be decoded."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return f"cannot be decoded: {text}"
