"""``search schema``: the JSON Schema that editors complete space files with."""

from __future__ import annotations

import json


def schema_text() -> str:
    """The content of ``schema/space.schema.json``, line break included."""
    from search.backbones.catalogue import CATALOGUE
    from search.space.schema import schema as build
    from search.training.config import SETTINGS

    return json.dumps(build(SETTINGS, list(CATALOGUE)), indent=2, ensure_ascii=False) + "\n"


def schema() -> None:
    """Print it."""
    print(schema_text(), end="")
