"""What every command that opens a study's folder must agree on."""

from __future__ import annotations

import sys

TABLE = "images.json"
"""The study's image table, in its folder."""


def versions() -> dict[str, str]:
    """Versions of what decides results, by distribution name."""
    from importlib import metadata

    from search import __version__

    found = {"search": __version__, "python": sys.version.split()[0]}
    for name in ("torch", "torchvision", "timm", "ray", "optuna", "scikit-learn", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
