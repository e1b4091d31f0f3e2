"""Where this machine keeps what it can make again. Reads the environment that it is handed."""

from __future__ import annotations

import os
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
        # Not Path.expanduser: that raises where ~ is of a user that there is not.
        return Path(os.path.expanduser(chosen)).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("search", appauthor=False))
