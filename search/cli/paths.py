"""Where things are on this machine. Reads the environment that it is handed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from search.data.place import cache_folder as cache_folder
from search.space.urls import is_url

DEFAULT_STORAGE = "sqlite:///studies/studies.db"


def data_source(text: str) -> tuple[Literal["path", "manifest"], str]:
    """Which key of ``data`` a ``--data`` stands for, and its value.

    A name that ends in .csv is a manifest's. ``~`` is the home folder, but stays where
    there is no such user, to be told as a path that is not there; a URL stays as it is.
    """
    kind: Literal["path", "manifest"] = "manifest" if text.lower().endswith(".csv") else "path"
    return kind, text if is_url(text) else str(Path(os.path.expanduser(text)))


def study_folder(checkpoints: str, study: str) -> Path:
    """The folder of a study's checkpoints and export, absolute."""
    return Path(os.path.expanduser(checkpoints)).absolute() / study


def storage_url(flag: str | None, env: Mapping[str, str]) -> str:
    """The storage of a command that reads no space file; ``${env:NAME}`` replaced.

    Raises:
        SearchError: If it names a variable that is not set.
    """
    from search.problems import fail
    from search.space.secrets import expand

    try:
        return expand(flag or env.get("SEARCH_STORAGE") or DEFAULT_STORAGE, env)
    except KeyError as error:
        raise fail(
            f"the storage names the variable {error.args[0]}, which is not set",
            fix=f"export {error.args[0]}=...",
        ) from None


def storage_flag(flag: str | None) -> str:
    """What a suggested command needs to find the same storage, with a space in
    front; empty where it finds it by itself. A password is not repeated."""
    from search.space.secrets import redact

    return "" if flag is None else f" --storage {shlex.quote(redact(flag))}"


def storage_hint(url: str, env: Mapping[str, str]) -> str:
    """:func:`storage_flag` for the storage of a space file."""
    found_by_itself = env.get("SEARCH_STORAGE") or DEFAULT_STORAGE
    return "" if url == found_by_itself else storage_flag(url)


def absolute_storage(url: str) -> str:
    """A SQLite URL with an absolute file; every other URL as it is."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url.startswith("sqlite:///file:"):
        return url
    file, question, query = url[len(prefix) :].partition("?")
    if not file or file == ":memory:":
        return url
    return f"{prefix}{Path(file).absolute()}{question}{query}"
