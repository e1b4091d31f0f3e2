"""Where things are on this machine. Reads the environment that it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DEFAULT_STORAGE = "sqlite:///studies/studies.db"


def cache_folder(env: Mapping[str, str]) -> Path:
    """The folder for decoded images and fetched weights; not created here.

    ``SEARCH_CACHE`` when set, else the platform's own cache folder.
    """
    chosen = env.get("SEARCH_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("search", appauthor=False))


def storage_url(flag: str | None, env: Mapping[str, str]) -> str:
    """The storage of a command that reads no space file."""
    return flag or env.get("SEARCH_STORAGE") or DEFAULT_STORAGE


def absolute_storage(url: str) -> str:
    """A SQLite URL with an absolute file; every other URL as it is."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url.startswith("sqlite:///file:"):
        return url
    file, question, query = url[len(prefix) :].partition("?")
    if not file or file == ":memory:":
        return url
    return f"{prefix}{Path(file).absolute()}{question}{query}"
