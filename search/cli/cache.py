"""``search cache``: what the cache folder holds, and removing of it.

Reads facts of files, never their content but ``family.json``. Imports neither
torch nor ray.
"""

from __future__ import annotations

import json as jsonlib
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.arguments import Json
from search.cli.entry import Commands

Dir = Annotated[
    str | None,
    typer.Option(
        "--dir", metavar="DIR", help="The cache folder; else SEARCH_CACHE, else the platform's."
    ),
]

cache = typer.Typer(cls=Commands, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """Options that were typed in front of ``clear``."""

    dir: str | None
    json: bool


@cache.callback(invoke_without_command=True)
def show(context: typer.Context, dir: Dir = None, json: Json = False) -> None:
    """Show what the cache folder holds and takes; clear it.

    All of it can be made or fetched again. What was not used for longest goes
    first where the budget (cache: {max_gb: ...}) or the disk is full.

    \b
    Examples:
      search cache
      search cache --dir /scratch/search --json

    Next: search cache clear.
    """
    context.obj = _Given(dir=dir, json=json)
    if context.invoked_subcommand is None:
        flag = "" if dir is None else f" --dir {shlex.quote(dir)}"
        show_cache(_folder(dir), json=json, now=time.time(), flag=flag)


@cache.command()
def clear(
    context: typer.Context,
    decoded: Annotated[bool, typer.Option("--decoded", help="Remove decoded images.")] = False,
    activations: Annotated[
        bool, typer.Option("--activations", help="Remove stored activations.")
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Remove fetched weights, each named.")
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Only what was not used for so many days."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")
    ] = False,
    dir: Dir = None,
    json: Json = False,
) -> None:
    """Remove decoded images and activations, or only what is named.

    What a running process reads or writes stays. Weights go with --weights
    alone. Nothing that is removed changes a result: it is made again.

    \b
    Examples:
      search cache clear --dry-run
      search cache clear --activations --older-than 30
      search cache clear --weights
    """
    given: _Given = context.obj
    chosen = Chosen(decoded=decoded, activations=activations, weights=weights)
    clear_cache(
        _folder(dir or given.dir),
        chosen if decoded or activations or weights else Chosen(decoded=True, activations=True),
        older_than=older_than,
        dry_run=dry_run,
        json=json or given.json,
        now=time.time(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be removed."""

    decoded: bool = False
    activations: bool = False
    weights: bool = False


def show_cache(folder: Path, *, json: bool, now: float, flag: str = "") -> None:
    """Print what a cache folder holds; ``flag`` names it in a suggested command.

    Raises:
        SearchError: Exit.STORAGE, if it is no folder or cannot be read.
    """
    from search.cli.cache_facts import look
    from search.cli.cache_view import contents_document, contents_lines

    contents = look(folder)
    if json:
        _print(contents_document(contents))
    else:
        print("\n".join(contents_lines(contents, now=now, flag=flag)))


def clear_cache(
    folder: Path,
    chosen: Chosen,
    *,
    older_than: float | None,
    dry_run: bool,
    json: bool,
    now: float,
) -> None:
    """Remove from a cache folder, and print what went and what stayed.

    Args:
        folder: The cache folder.
        chosen: What is to be removed.
        older_than: Days since the last use; None is whatever the age.
        dry_run: Remove nothing.
        json: Print one document.
        now: Seconds since 1970.

    Raises:
        SearchError: Exit.STORAGE, if the folder cannot be read, or something in
            it cannot be removed though nobody uses it.
    """
    from search.cli.cache_facts import clear_weights, free_bytes, look
    from search.cli.cache_view import Removal, removal_document, removal_lines
    from search.data.cache import IN_USE, Cleared, Kind
    from search.data.cache import clear as clear_entries
    from search.problems import Exit, fail

    contents = look(folder)
    before = float("inf") if older_than is None else now - older_than * 86_400
    kinds: list[Kind] = []
    if chosen.decoded:
        kinds.append("decoded")
    if chosen.activations:
        kinds.append("activations")
    done = Cleared(gone=(), stayed=())
    if contents.exists:
        done = clear_entries(folder, kinds, before=before, dry_run=dry_run)
        if chosen.weights:
            more = clear_weights(folder, before=before, dry_run=dry_run)
            done = Cleared(gone=done.gone + more.gone, stayed=done.stayed + more.stayed)
    removal = Removal(folder=folder, done=done, dry_run=dry_run, free=free_bytes(folder))
    if json:
        _print(removal_document(removal))
    else:
        print("\n".join(removal_lines(removal)))
    refused = [(entry, why) for entry, why in done.stayed if why != IN_USE]
    if refused:
        entry, why = refused[0]
        more_of = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise fail(f"{entry.path} cannot be removed: {why}{more_of}", status=Exit.STORAGE)


def _folder(dir: str | None) -> Path:
    from search.cli.paths import cache_folder

    return cache_folder(os.environ, dir)


def _print(document: dict[str, Any]) -> None:
    print(jsonlib.dumps(document, allow_nan=False))
