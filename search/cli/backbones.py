"""``search backbones``: what there is to fine-tune, and whether its weights are here."""

from __future__ import annotations

import json as jsonlib
import os
from typing import Annotated

import typer

from search.cli.arguments import Json
from search.cli.complete import complete_backbones

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        show_default=False,
        autocompletion=complete_backbones,
        help="How a name begins, or a pattern with * and ?; all when left out.",
    ),
]


def backbones(names: Names = None, json: Json = False) -> None:
    """List backbones, their sizes and weights, and what is here.

    With a NAME also its other weights, for weights: {tags: {NAME: TAG}}.

    \b
    Examples:
      search backbones
      search backbones resnet 'vit_b_*'
      search backbones regnet --json
      search backbones timm:convnext

    Next: backbone: [NAME, ...] in the space file, search weights fetch SPACE.
    """
    from search.cli.backbones_list import document, lines, look, pick
    from search.cli.paths import cache_folder

    cache = cache_folder(os.environ, None)
    rows = look(pick(tuple(names or ())), cache)
    if json:
        print(jsonlib.dumps(document(rows, cache=cache), allow_nan=False))
    else:
        print("\n".join(lines(rows, whole=not names)))
