"""Pictures of trials whose images are in several classes, or have a number. Pure.

As ``charts``, whose colours and letters they are drawn with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from search.export.charts import COLOURS, FAINT, INK, PAPER, cut, font
from search.export.learns import written

_BARS = 40
"""Classes that are drawn, at most."""
_ROW, _BAR, _COUNTS = 22, 220, 260
_SIDE, _LEFT = 400, 84


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One class beside others."""

    name: str
    f1: float
    average_precision: float | None
    """None where no image is in it."""
    counts: Sequence[Sequence[int]]
    """Images by [in it][called so]."""


def bars(classes: Sequence[Bars]) -> Image.Image:
    """F1 and average precision of each class, and the counts behind them; of many
    classes those with the lowest F1."""
    shown = list(classes)
    if len(shown) > _BARS:
        shown = sorted(shown, key=lambda each: each.f1)[:_BARS]
    labels = [cut(each.name) for each in shown]
    edge = 16 + round(max((font(12).getlength(label) for label in labels), default=0))
    high = 32 + _ROW * len(shown) + 28
    picture = Image.new("RGB", (edge + _BAR + _COUNTS, high), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((edge, 22), "F1", fill=COLOURS[0], font=font(13), anchor="ls")
    draw.text((edge + 28, 22), "average precision", fill=COLOURS[1], font=font(13), anchor="ls")
    heads = "in it: called, missed; wrongly called"
    draw.text((edge + _BAR + 12, 22), heads, fill=INK, font=font(12), anchor="ls")
    for place, (each, label) in enumerate(zip(shown, labels, strict=True)):
        top = 32 + _ROW * place
        draw.text((edge - 6, top + _ROW / 2), label, fill=INK, font=font(12), anchor="rm")
        values = (each.f1, each.average_precision)
        for line, (value, colour) in enumerate(zip(values, COLOURS, strict=False)):
            y = top + 3 + 8 * line
            if value is not None:
                draw.rectangle((edge, y, edge + _BAR * value, y + 6), fill=colour)
        (_, wrongly), (missed, called) = each.counts
        text = f"{called}, {missed}; {wrongly}"
        draw.text((edge + _BAR + 12, top + _ROW / 2), text, fill=INK, font=font(12), anchor="lm")
    draw.rectangle((edge, 32, edge + _BAR, 32 + _ROW * len(shown)), outline=FAINT)
    left_out = len(classes) - len(shown)
    if left_out:
        words = f"and {left_out} more whose F1 is no lower"
        draw.text((edge, high - 8), words, fill=INK, font=font(12), anchor="ls")
    return picture


def scatter(pairs: Sequence[Sequence[float]], unit: str) -> Image.Image:
    """Predicted beside true values, and what is left over.

    Args:
        pairs: (true, predicted).
        unit: Of the values; empty where none was named.
    """
    picture = Image.new("RGB", (2 * (_LEFT + _SIDE + 16), _SIDE + 80), PAPER)
    draw = ImageDraw.Draw(picture)
    scale = max((abs(value) for pair in pairs for value in pair), default=0.0) or 1.0
    ends = [(true / scale, predicted / scale) for true, predicted in pairs]
    within = f", {cut(unit)}" if unit else ""
    both = _range([value for pair in ends for value in pair])
    words = f"predicted by true{within}"
    _cloud(draw, ends, across=both, up=both, diagonal=True, scale=scale, x=0, words=words)
    left = [(true, predicted - true) for true, predicted in ends]
    _cloud(
        draw,
        left,
        across=_range([true for true, _ in left]),
        up=_range([0.0, *(rest for _, rest in left)]),
        diagonal=False,
        scale=scale,
        x=_LEFT + _SIDE + 16,
        words=f"predicted minus true, by true{within}",
    )
    return picture


def end_of_axis(value: float, axis: tuple[float, float], scale: float) -> str:
    """What stands at an end of an axis: the digits that tell a hundredth of it.

    Args:
        value: One of the ends.
        axis: Both, the lower first.
        scale: What all three are to be multiplied by.
    """
    most, least = sys.float_info.max, sys.float_info.min
    tenfold = (axis[1] - axis[0]) * scale * 10
    return written(min(max(value * scale, -most), most), min(max(tenfold, least), most))


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _cloud(
    draw: ImageDraw.ImageDraw,
    points: Sequence[tuple[float, float]],
    *,
    across: tuple[float, float],
    up: tuple[float, float],
    diagonal: bool,
    scale: float,
    x: int,
    words: str,
) -> None:
    """Points in a square, with the line on which they would all be right: from corner to
    corner (``diagonal``), or where nothing is left over."""
    left, top = x + _LEFT, 36
    right, bottom = left + _SIDE, top + _SIDE

    def at(value: float, height: float) -> tuple[float, float]:
        return (
            left + _SIDE * (value - across[0]) / (across[1] - across[0]),
            bottom - _SIDE * (height - up[0]) / (up[1] - up[0]),
        )

    draw.text((left, top - 10), words, fill=INK, font=font(13), anchor="ls")
    draw.rectangle((left, top, right, bottom), outline=FAINT)
    right_ones = zip(across, up if diagonal else (0.0, 0.0), strict=True)
    draw.line([at(*each) for each in right_ones], fill=FAINT)
    for value, place, anchor in ((across[0], left, "la"), (across[1], right, "ra")):
        text = end_of_axis(value, across, scale)
        draw.text((place, bottom + 6), text, fill=INK, font=font(11), anchor=anchor)
    for value, place in ((up[1], top), (up[0], bottom)):
        text = end_of_axis(value, up, scale)
        draw.text((left - 4, place), text, fill=INK, font=font(11), anchor="rm")
    for each in points:
        px, py = at(*each)
        draw.ellipse((px - 2, py - 2, px + 2, py + 2), fill=COLOURS[0])
