"""Pictures of a trial, drawn with Pillow: curves, a confusion matrix, images with words.

Pillow is here already, and draws one in milliseconds; a plotting library would take
seconds of a run's own process to be imported. Pure: values in, pictures out.

K classes.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from search.problems import printable

INK, FAINT, PAPER = (40, 40, 40), (200, 200, 200), (255, 255, 255)
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115))
"""Of Okabe and Ito's palette: told apart by everyone."""
_WIDTH, _HEIGHT, _MARGIN = 480, 260, 48
TILE = 96
"""Side of an image among others, pixels."""
_LONGEST = 24
_DOTTED = 40
"""Epochs up to which each has a dot on its curve."""
_NAMED = 40
"""Classes up to which a confusion matrix has their names, and numbers in its cells."""
_LARGEST = 1000
"""Side of a confusion matrix without names, pixels, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Values by epoch, from the first; None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """An image with a few lines under it; None where the image is not to be had."""

    image: Image.Image | None
    words: Sequence[str]


def png(picture: Image.Image) -> bytes:
    """As the bytes of a file."""
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def curves(panels: Sequence[Sequence[Line]], best: int | None) -> Image.Image:
    """Panels under each other, epochs to the right.

    Args:
        panels: Lines of each, on an axis of their own.
        best: Epoch to mark, 1-based.
    """
    picture = Image.new("RGB", (_WIDTH, _HEIGHT * len(panels)), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, lines in enumerate(panels):
        _panel(draw, lines, best, top=number * _HEIGHT)
    return picture


def _panel(draw: ImageDraw.ImageDraw, lines: Sequence[Line], best: int | None, top: int) -> None:
    known = [value for line in lines for value in line.values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    epochs = max((len(line.values) for line in lines), default=1)
    left, right = _MARGIN, _WIDTH - 12
    bottom, upper = top + _HEIGHT - 28, top + 28

    def at(epoch: int, value: float) -> tuple[float, float]:
        x = left + (right - left) * ((epoch - 1) / (epochs - 1) if epochs > 1 else 0.5)
        return x, bottom - (bottom - upper) * (value - low) / (high - low)

    draw.rectangle((left, upper, right, bottom), outline=FAINT)
    if best is not None:
        x, _ = at(best, low)
        draw.line((x, upper, x, bottom), fill=FAINT, width=2)
    for value, y in ((high, upper), (low, bottom)):
        draw.text((left - 4, y), f"{value:.3g}", fill=INK, font=font(11), anchor="rm")
    draw.text((left, bottom + 4), "1", fill=INK, font=font(11), anchor="ma")
    draw.text((right, bottom + 4), f"{epochs}", fill=INK, font=font(11), anchor="ra")
    draw.text(((left + right) / 2, bottom + 4), "epoch", fill=INK, font=font(11), anchor="ma")
    across = float(left)
    for line, colour in zip(lines, COLOURS, strict=False):
        points = [at(n, value) for n, value in enumerate(line.values, 1) if value is not None]
        draw.line(points, fill=colour, width=2)
        for place, height in points if len(points) <= _DOTTED else ():
            draw.ellipse((place - 2, height - 2, place + 2, height + 2), fill=colour)
        draw.text((across, upper - 6), line.name, fill=colour, font=font(13), anchor="ls")
        across += draw.textlength(line.name, font=font(13)) + 16


def matrix(names: Sequence[str], cells: Sequence[Sequence[int]]) -> Image.Image:
    """A confusion matrix: true classes downwards, predicted ones to the right.

    Args:
        names: K.
        cells: (true, predicted, images) where there are any. A cell is as dark as its
            share of the true class's images. Many classes have no names in the picture,
            and no counts; it never has more than 1,000 pixels a side then.
    """
    if len(names) > _NAMED:
        return _unnamed(len(names), cells)
    totals = [0] * len(names)
    for true, _, count in cells:
        totals[true] += count
    labels = [cut(name) for name in names]
    letters, side = font(12), 34
    edge = 16 + math.ceil(max(letters.getlength(label) for label in labels))
    picture = Image.new("RGB", (edge + side * len(names) + 8, edge + side * len(names) + 24), PAPER)
    draw = ImageDraw.Draw(picture)
    for place, label in enumerate(labels):
        middle = 24 + side * place + side / 2
        draw.text((edge - 6, middle), label, fill=INK, font=letters, anchor="rm")
        _upright(picture, label, x=edge + side * place + side // 2, y=28 + side * len(names))
    for true, called, count in cells:
        share = count / totals[true]
        x, y = edge + called * side, 24 + true * side
        draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_shade(share))
        ink = PAPER if share > 0.5 else INK
        draw.text((x + side / 2, y + side / 2), f"{count}", fill=ink, font=letters, anchor="mm")
    draw.rectangle((edge, 24, edge + side * len(names), 24 + side * len(names)), outline=FAINT)
    draw.text((edge, 18), "true class by called class, images", fill=INK, font=letters, anchor="ls")
    return picture


def _unnamed(classes: int, cells: Sequence[Sequence[int]]) -> Image.Image:
    """The matrix of many classes, without names; of more classes than pixels, neighbours
    share one, and it is as dark as the share of all their images."""
    places = min(classes, _LARGEST)
    side = _LARGEST // places
    totals = [0] * places
    shared: Counter[tuple[int, int]] = Counter()
    for true, called, count in cells:
        row, column = true * places // classes, called * places // classes
        totals[row] += count
        shared[row, column] += count
    picture = Image.new("RGB", (side * places, side * places), PAPER)
    draw = ImageDraw.Draw(picture)
    for (row, column), count in shared.items():
        x, y = column * side, row * side
        draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_shade(count / totals[row]))
    return picture


def tiles(shown: Sequence[Tile], *, columns: int = 4) -> Image.Image:
    """Images in rows, with their words under them."""
    wide, high = TILE + 72, TILE + 16 * max((len(tile.words) for tile in shown), default=0) + 12
    rows = max(1, -(-len(shown) // columns))
    picture = Image.new("RGB", (columns * wide + 8, rows * high + 8), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, tile in enumerate(shown):
        x, y = 8 + number % columns * wide, 8 + number // columns * high
        if tile.image is None:
            draw.rectangle((x, y, x + TILE, y + TILE), outline=FAINT)
        else:
            picture.paste(tile.image.resize((TILE, TILE)), (x, y))
        for place, words in enumerate(tile.words):
            draw.text((x, y + TILE + 2 + 16 * place), cut(words), fill=INK, font=font(12))
    if not shown:
        draw.text((8, 8), "no errors", fill=INK, font=font(13))
    return picture


def _upright(picture: Image.Image, text: str, *, x: int, y: int) -> None:
    """Text that reads upwards, its end under ``y``."""
    letters = font(12)
    strip = Image.new("RGB", (math.ceil(letters.getlength(text)) + 2, 16), PAPER)
    ImageDraw.Draw(strip).text((0, 0), text, fill=INK, font=letters)
    picture.paste(strip.rotate(90, expand=True), (x - 8, y))


def _shade(share: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 - (255 - each) * share) for each in COLOURS[0])
    return red, green, blue


def cut(text: str) -> str:
    """One line that is not too long. The font has Latin letters alone; the JSON has all."""
    text = printable(text).replace("\t", " ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
