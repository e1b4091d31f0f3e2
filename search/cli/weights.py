"""``search weights fetch``: pretrained weights on this disk before a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from search.cli.arguments import Sets, Space
from search.cli.columns import align
from search.cli.entry import Commands
from search.cli.figures import size
from search.cli.options import SpaceFlags
from search.problems import Exit, Problem, SearchError, printable

weights = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Pretrained weights: fetch them before a run.",
)


@weights.command()
def fetch(space: Space = None, sets: Sets = None) -> None:
    """Fetch and verify the pretrained weights that a space needs.

    For a machine without internet: fetch where there is some, with SEARCH_CACHE
    set to a folder, and copy that folder.

    \b
    Examples:
      search weights fetch spaces/vision.yaml
      SEARCH_CACHE=/shared/cache search weights fetch spaces/vision.yaml
    """
    fetch_weights(space, SpaceFlags(sets=tuple(sets or ())))


def fetch_weights(space: Path | None, flags: SpaceFlags) -> None:
    """Fetch and verify the weights of every backbone of a space.

    One line a backbone on stdout, progress on stderr. What cannot be had does
    not keep the others from being fetched.

    Raises:
        SearchError: With all that could not be had, exit status 69, also where
            a run would leave them out.
    """
    from search.backbones import download
    from search.cli.choices import backbones_of
    from search.cli.paths import cache_folder
    from search.cli.space_file import read_space
    from search.cli.space_source import given

    path = given(space, "weights fetch")
    spec = read_space(path, flags, env=os.environ).spec
    cache = cache_folder(os.environ, spec.cache.dir)
    rows: list[list[str]] = []
    problems: list[Problem] = []
    status = Exit.USAGE
    progress = _Progress()
    for name in backbones_of(spec.space):
        try:
            located = download.fetch(name, spec.weights, cache, progress)
        except SearchError as error:
            problems += error.problems
            status = max(status, error.status)
            continue
        rows.append([name, "random" if located.path is None else printable(str(located.path))])
    for line in align(rows):
        print(line)
    sys.stdout.flush()
    if problems:
        raise SearchError(problems, status)
    print(f"\nnext\n  search run {printable(str(path))}")


class _Progress:
    """A line on stderr for each download, and for each tenth of it."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if self._shown.get(name) == tenth:
            return
        self._shown[name] = tenth
        of = f" of {size(total)}" if total else ""
        print(f"{name}: {size(done)}{of}", file=sys.stderr, flush=True)
