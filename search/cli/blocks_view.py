"""The map of blocks in ``search plan --blocks``: what ``unfreeze_depth`` trains."""

from __future__ import annotations

from collections.abc import Sequence

from search.backbones.catalogue import blocks_of
from search.backbones.info import BackboneInfo
from search.cli.columns import bold, indent
from search.cli.wrapping import flat, hanging, within
from search.training.rates import FROM_THE_HEAD


def block_lines(backbones: Sequence[BackboneInfo], *, width: int | None = None) -> list[str]:
    """A section of the plan: of each backbone a line for each block, from the image on.

    The head is not among them: it is always trained, and always new.
    """
    rows = [["backbone", "block", "trained from", "params", "the library's modules"]]
    for info in backbones:
        for place, (modules, count) in enumerate(blocks_of(info.name)):
            rows.append(
                [
                    info.name if place == 0 else "",
                    FROM_THE_HEAD[-1 - place],
                    f"unfreeze_depth {len(FROM_THE_HEAD) - place}",
                    f"{count:,}",
                    modules,
                ]
            )
    head, *body = flat(hanging(rows, width=within(width, 2), right=(3,)))
    return ["blocks", *indent([bold(head), *body])]
