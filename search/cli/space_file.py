"""From a space file and flags to a checked study. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from search.cli.entry import show_problems
from search.cli.extended import fetch, identity_of
from search.cli.options import SpaceFlags
from search.cli.paths import data_source
from search.cli.space_source import read_text
from search.problems import Exit, Problem, SearchError

if TYPE_CHECKING:
    from search.space.load import Loaded
    from search.space.overrides import Override


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
        images: Look whether images, and files of weights, are there.
        text: What the file is to hold; by default what it holds.

    Raises:
        SearchError: With every problem of file and flags, exit status 2. Images that
            are not there are among them; where nothing else is wrong, what is not
            there is ``refused`` of what is returned.
    """
    from search.backbones.catalogue import sizes, tags
    from search.cli.data_check import why_refused
    from search.cli.weights_check import why_absent
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
    absent = why_absent(loaded, env) if images else None
    looks = [each for each in (loaded.refused, absent) if each is not None]
    not_there = [problem for each in looks for problem in each.problems]
    if problems:
        raise SearchError([*problems, *not_there], Exit.USAGE)
    if absent is None:
        return loaded
    return replace(loaded, refused=SearchError(not_there, looks[0].status))


def read_space(path: Path, flags: SpaceFlags, *, env: Mapping[str, str]) -> Loaded:
    """:func:`load_space` without a look at images and weights, and with the file's warnings
    printed to stderr."""
    loaded = load_space(path, flags, env=env, images=False)
    if loaded.warnings:
        show_problems(loaded.warnings)
    return loaded


def to_overrides(
    flags: SpaceFlags, *, env: Mapping[str, str]
) -> tuple[list[Override], list[Problem]]:
    """The overrides that flags and SEARCH_STORAGE stand for, and what is wrong
    with the flags themselves. Later overrides win."""
    from search.space.overrides import Override
    from search.space.urls import shown

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
        kind, place = data_source(flags.data)
        add(f"data.{kind}", place, f"--data {shown(flags.data)}")
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
