"""The curve of a trial as lines of text. Pure."""

from __future__ import annotations

from search.cli.columns import align
from search.cli.figures import spark
from search.space.figure import metric
from search.study.records import TrialView

LONGEST_CURVE = 60
"""Epochs of a sparkline; a longer curve is thinned."""
CURVE_ROWS = 12
"""Epochs of the table under it."""


def curve_lines(trial: TrialView, objective: str) -> list[str]:
    """A sparkline of the objective, and its values under their epochs."""
    points = sorted(trial.curve.items())
    step = -(-len(points) // LONGEST_CURVE)
    drawn = [value for _, value in points[::step]]
    shown = points if len(points) <= CURVE_ROWS else _thinned(trial, points)
    rows = [["epoch", *(f"{epoch}" for epoch, _ in shown)]]
    rows.append(["value", *(metric(value, objective) for _, value in shown)])
    return [spark(drawn), *align(rows, right=range(1, len(shown) + 1))]


def _thinned(trial: TrialView, points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """The first, the last, the best and some between."""
    step = -(-len(points) // (CURVE_ROWS - 2))
    kept = {points[0][0], points[-1][0], *(epoch for epoch, _ in points[::step])}
    if trial.best_epoch is not None:
        kept.add(trial.best_epoch)
    return [point for point in points if point[0] in kept]
