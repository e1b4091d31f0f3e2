"""How the value of a metric is written: in tables, reasons and model cards alike. Pure."""

from __future__ import annotations

import math

_UNBOUNDED = frozenset(("loss", "mae", "rmse"))
"""Of these a very small value is a value: an error in metres can be nanometres."""
_NOISE = 1e-9
"""What a metric of shares may miss 0 by; float64 sums miss it by 1e-17."""


def metric(value: float | None, of: str) -> str:
    """A metric as text.

    Args:
        value: None where there is none.
        of: The metric's name; a share (``accuracy``, ``r2``) or a quantity (``mae``, in
            its unit; ``loss``).

    Returns:
        Three decimals, ``0.713``; of a very small or large one, which a quantity can be,
        four digits, ``1.235e-05``; ``-`` where there is none. Only 0 itself, and what a
        share's rounding leaves of it, is ``0.000``.
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "nan"
    if value == 0 or (abs(value) < _NOISE and of not in _UNBOUNDED):
        return "0.000"
    return f"{value:.3f}" if 0.001 <= abs(value) < 100_000 else f"{value:.4g}"
