"""From a space file and flags to a checked study. Reads one file, writes nothing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from search.cli.entry import show_problems
from search.cli.options import SpaceFlags
from search.problems import Exit, Problem, SearchError, fail
from search.space.nodes import short

if TYPE_CHECKING:
    from search.space.load import Loaded
    from search.space.overrides import Override

LARGEST_READ = 1_000_000
"""Bytes; a space file is a page of text, and ``load`` refuses less than this."""


def given(space: Path | None, command: str) -> Path:
    """The SPACE argument, or a SearchError that lists the spaces at hand."""
    if space is not None:
        return space
    at_hand = _at_hand(Path("spaces"))
    raise fail(
        f"search {command} needs a space file",
        fix=f"search {command} {at_hand[0]}" + _others(at_hand[1:])
        if at_hand
        else f"search {command} SPACE.yaml (how to write one: docs/space.md)",
    )


def load_space(
    path: Path,
    flags: SpaceFlags,
    *,
    env: Mapping[str, str],
    images: bool = True,
    text: str | None = None,
) -> Loaded:
    """Read and check a space file; nothing is printed.

    Args:
        path: The file, as typed.
        flags: Override the file and are checked like it.
        env: For SEARCH_STORAGE and ``${env:NAME}``.
        images: Look whether the images are there.
        text: What the file is to hold; by default what it holds.

    Raises:
        SearchError: With every problem of file and flags, exit status 2. Images that
            are not there are among them, and where they are the only problem it is
            ``refused`` of what is returned.
    """
    from search.backbones.catalogue import sizes, tags
    from search.cli.data_check import why_refused
    from search.cli.extended import fetch, identity_of
    from search.space.load import load
    from search.training.config import SETTINGS
    from search.training.phases import full_depth_of

    content = read_text(path) if text is None else text
    overrides, problems = to_overrides(flags, env=env)
    try:
        loaded = load(
            content,
            file=str(path),
            settings=SETTINGS,
            sizes=sizes(),
            tags=tags(),
            overrides=overrides,
            env=env,
            look=why_refused if images else lambda data: None,
            full_depth=full_depth_of,
            extended=fetch,
            identity=identity_of(path),
        )
    except SearchError as error:
        raise SearchError([*problems, *error.problems], error.status) from None
    if problems:
        raise SearchError(problems, Exit.USAGE)
    return loaded


def read_space(path: Path, flags: SpaceFlags, *, env: Mapping[str, str]) -> Loaded:
    """:func:`load_space` without a look at the images, and with the file's warnings
    printed to stderr."""
    loaded = load_space(path, flags, env=env, images=False)
    if loaded.warnings:
        show_problems(loaded.warnings)
    return loaded


def read_text(path: Path) -> str:
    """The text of a space file.

    Raises:
        SearchError: When it is not there, a folder, not readable or not UTF-8;
            exit status 2.
    """
    from search.space.reader import decode

    return decode(read_bytes(path), file=str(path))


def read_bytes(path: Path) -> bytes:
    """The start of a space file, more than the longest that is read.

    Raises:
        SearchError: When it is not there, a folder or not readable; exit status 2.
    """
    try:
        if path.is_dir():
            raise _not_a_file(path)
        if path.is_fifo() and not str(path).startswith(("/dev/", "/proc/")):
            # A named pipe would be waited for without end; <(...) is one of /dev/fd.
            raise fail(f"{path}: a named pipe, not a space file", fix="name a .yaml file")
        with path.open("rb") as file:
            return file.read(LARGEST_READ)
    except FileNotFoundError:
        raise _not_found(path) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise fail(f"{short(str(path), 200)}: cannot be read: {reason}") from None
    except ValueError:  # a NUL in the name
        raise fail(f"{path}: no such file") from None


def to_overrides(
    flags: SpaceFlags, *, env: Mapping[str, str]
) -> tuple[list[Override], list[Problem]]:
    """The overrides that flags and SEARCH_STORAGE stand for, and what is wrong
    with the flags themselves. Later overrides win."""
    from search.space.overrides import Override

    found: list[Override] = []
    problems: list[Problem] = []

    def add(path: str, value: str | float, flag: str) -> None:
        literal = isinstance(value, str)
        found.append(Override(path=path, text=f"{value}", flag=flag, literal=literal))

    url = flags.storage or env.get("SEARCH_STORAGE")
    if url:
        # The name alone: the URL may hold a password.
        add("storage", url, "--storage" if flags.storage else "SEARCH_STORAGE")
    for item in flags.sets:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            problems.append(Problem(fact=f"--set {item}: not KEY=VALUE", fix="--set space.lr=1e-3"))
        else:
            found.append(Override(path=key.strip(), text=value, flag=f"--set {item}"))
    if flags.data is not None:
        kind = "manifest" if flags.data.lower().endswith(".csv") else "path"
        add(f"data.{kind}", str(Path(flags.data).expanduser()), f"--data {flags.data}")
    if flags.name is not None:
        add("study.name", flags.name, f"--name {flags.name}")
    if flags.trials is not None:
        add("budget.trials", flags.trials, f"--trials {flags.trials}")
    if flags.minutes is not None:
        add("budget.minutes", flags.minutes, f"--minutes {flags.minutes:g}")
    if flags.stop_after is not None:
        add("budget.stop_after", flags.stop_after, f"--stop-after {flags.stop_after}")
    if flags.concurrency is not None:
        add("resources.concurrency", flags.concurrency, f"--concurrency {flags.concurrency}")
    return found, problems


def _not_found(path: Path) -> SearchError:
    nearby = [*_at_hand(path.parent), *_at_hand(Path("spaces"))]
    names = {found.name: found for found in reversed(nearby)}
    wanted = path.name if path.suffix in {".yaml", ".yml"} else f"{path.name}.yaml"
    near = difflib.get_close_matches(wanted, list(names), n=1, cutoff=0.6)
    if near:
        return fail(f"{path}: no such file", fix=f"did you mean {names[near[0]]}?")
    return fail(f"{path}: no such file", fix=_one_of(list(dict.fromkeys(nearby))))


def _not_a_file(path: Path) -> SearchError:
    inside = _at_hand(path)
    if inside:
        return fail(f"{path}: a folder, not a space file", fix=_one_of(inside))
    return fail(
        f"{path}: a folder, not a space file",
        fix=f"spaces/vision.yaml --data {path}" if any(_folders(path)) else "name a .yaml file",
    )


def _one_of(paths: list[Path]) -> str:
    return f"one of: {', '.join(map(str, paths))}" if paths else ""


def _others(paths: list[Path]) -> str:
    return f" (or {', '.join(map(str, paths))})" if paths else ""


def _at_hand(folder: Path) -> list[Path]:
    """The YAML files of a folder, sorted; none when it cannot be read."""
    try:
        return sorted(entry for entry in folder.iterdir() if entry.suffix in {".yaml", ".yml"})
    except (OSError, ValueError):
        return []


def _folders(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except OSError:
        return []
