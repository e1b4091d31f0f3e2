"""Which block learns how fast, and from when, as ``search plan`` shows it. Pure."""

from __future__ import annotations

from search.cli.columns import GAP, align, fits, indent
from search.cli.figures import setting
from search.cli.wrapping import flat, hanging
from search.space.points import default_point
from search.space.spec import StudySpec
from search.training.config import SETTINGS, TrialConfig, trial_config
from search.training.phases import first_at
from search.training.rates import FROM_THE_HEAD, HEAD, peak_rates


def rate_lines(spec: StudySpec, *, width: int | None = None) -> list[str]:
    """The peak rate of each block in the trials that are tried first: a table, or where
    that is wider than ``width``, each trial's blocks one after the other."""
    if spec.first:
        points = [dict(pairs) for pairs in spec.first]
    else:
        points = [dict(default_point(spec.space, SETTINGS).point)]
    rows = [["block", HEAD, *FROM_THE_HEAD]]
    for index, point in enumerate(points):
        config = trial_config(
            point,
            own_size={str(point.get("backbone", SETTINGS["backbone"].default)): 0},
            epochs=spec.epochs.max,
            seed=0,
            augmentation_seed=0,
        )
        label = (
            "default" if index == 0 and (spec.default_first or not spec.first) else str(index + 1)
        )
        rows.append([label, *_cells(config)])
    lines = indent(align(rows))
    if width is not None and not fits(lines, width):
        names, *trials = rows
        pairs = [
            [
                row[0],
                GAP.join(f"{name} {cell}" for name, cell in zip(names[1:], row[1:], strict=True)),
            ]
            for row in trials
        ]
        lines = indent(flat(hanging(pairs, width=width - len(GAP), gap=len(GAP))))
    return ["peak learning rate by block, and the epoch from which", *lines]


def _cells(config: TrialConfig) -> list[str]:
    """The head first; a block that is unfrozen later says from which epoch."""
    rates = peak_rates(config)
    cells = [setting(rates[HEAD])]
    for depth, block in enumerate(FROM_THE_HEAD, start=1):
        if block not in rates:
            cells.append("frozen")
            continue
        begins = first_at(config, depth)
        later = f" from {begins}" if begins > 1 else ""
        cells.append(f"{rates[block]:.3g}{later}")
    return cells
