"""``study:`` and ``storage:`` -> name, seed and URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

from search.space.nodes import Node, Scalar, kind_of, quote
from search.space.report import Report
from search.space.scalars import fields_of, text
from search.space.secrets import expand, has_password, variables
from search.space.sections import read_seed

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DEFAULT_STORAGE = "sqlite:///studies/studies.db"
_URL = re.compile(r"sqlite:///.+|postgresql(\+[a-z0-9_]+)?://.+", re.DOTALL)


def read_study(node: Node | None, file: str, report: Report) -> tuple[str, int]:
    """The study's name, by default the file's, and its seed."""
    default = name_of(PurePath(file).stem)
    if node is None:
        return default, 0
    fields = fields_of(node, "study", report, ("name", "seed"), f"{{name: {default}}}")
    if fields is None:
        return default, 0
    return fields.read("name", _name, default), fields.read("seed", read_seed, 0)


def name_of(stem: str) -> str:
    """A study's name made of any text, e.g. ``name_of("my space") == "my-space"``."""
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64]
    return made or "study"


def _name(node: Node, what: str, report: Report) -> str | None:
    name = text(node, what, report)
    if name is not None and not NAME.fullmatch(name):
        report.error(
            node.place,
            f"{what}: {quote(name)} is not 1 to 64 letters, digits, . _ - "
            "with a letter or digit first",
            name_of(name),
        )
        return None
    return name


def read_storage(node: Node | None, env: Mapping[str, str], report: Report) -> str:
    """The storage's URL with ``${env:NAME}`` filled in.

    A password may not stand in a file; in a flag or a variable it may.
    """
    if node is None:
        return DEFAULT_STORAGE
    allowed = f"{DEFAULT_STORAGE} or postgresql://USER@HOST/NAME"
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        report.error(node.place, f"storage is {kind_of(node)}", allowed)
        return DEFAULT_STORAGE
    url = node.value
    if node.place.file in (report.file, *report.inherited) and has_password(url):
        report.error(node.place, "storage holds a password in plain text", "${env:SEARCH_STORAGE}")
        return DEFAULT_STORAGE
    missing = [name for name in variables(url) if name not in env]
    for name in missing:
        report.error(
            node.place, f"the environment variable {quote(name)} is not set", f"export {name}=..."
        )
    if missing:
        return DEFAULT_STORAGE
    filled = expand(url, env)
    if not _URL.fullmatch(filled):
        shown = quote(url) if filled == url else f"the value of {quote(url)}"
        report.error(node.place, f"storage: {shown} is no database URL", allowed)
        return DEFAULT_STORAGE
    return filled
