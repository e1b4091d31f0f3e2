"""Where this machine keeps what it can make again. Reads the environment that it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FETCHED = "fetched"
"""Where in the cache folder images of a URL are."""


def cache_folder(env: Mapping[str, str], of_space: str | None = None) -> Path:
    """The folder for decoded images, activations, fetched images and weights; not
    created here.

    What the space file says, else ``SEARCH_CACHE``, else the platform's own. Each
    node of a cluster has its own.
    """
    chosen = of_space or env.get("SEARCH_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("search", appauthor=False))
