"""What the shell offers when TAB is pressed. Never fails, never waits for long."""

from __future__ import annotations

import os
from pathlib import Path


def complete_spaces(incomplete: str) -> list[str]:
    """Folders and YAML files that begin as typed."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    start = "" if incomplete.endswith("/") else typed.name
    found = []
    try:
        for entry in sorted(folder.iterdir()):
            if not entry.name.startswith(start) or entry.name.startswith("."):
                continue
            if entry.is_dir():
                found.append(f"{entry}/")
            elif entry.suffix in {".yaml", ".yml"}:
                found.append(str(entry))
    except OSError:
        return []
    return found


def complete_sets(incomplete: str) -> list[str]:
    """``space.SETTING=`` for every setting, and every other key of a space file."""
    from search.space.schema import schema
    from search.space.schema_keys import keys
    from search.training.config import SETTINGS

    return [f"{key}=" for key in keys(schema(SETTINGS, [])) if key.startswith(incomplete)]


def complete_backbones(incomplete: str) -> list[str]:
    """Names of backbones that begin as typed."""
    from search.backbones.catalogue import CATALOGUE
    from search.backbones.timm_names import PREFIX, timm_names

    if incomplete.startswith(PREFIX):
        return [name for name in timm_names() if name.startswith(incomplete)]
    return [name for name in CATALOGUE if name.startswith(incomplete)]


def complete_studies(incomplete: str) -> list[str]:
    """Names of the studies in the usual storage."""
    from search.cli.paths import storage_url
    from search.problems import SearchError
    from search.study.views import list_studies

    try:
        studies = list_studies(storage_url(None, os.environ))
    except SearchError:
        return []
    return [study.name for study in studies if study.name.startswith(incomplete)]


def complete_running(incomplete: str) -> list[str]:
    """Names of the studies in the usual storage that are running."""
    from search.cli.paths import storage_url
    from search.problems import SearchError
    from search.study.holder import find_holders

    try:
        holders = find_holders(storage_url(None, os.environ))
    except SearchError:
        return []
    return [
        name for name, holder in holders.items() if name.startswith(incomplete) and not holder.gone
    ]
