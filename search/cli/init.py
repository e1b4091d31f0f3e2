"""``search init``: looks at images, and writes a space file that says why in every line.

Imports neither torch nor ray. What it writes has passed the check of ``search plan``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.arguments import Data, Json
from search.problems import Exit, SearchError, fail, printable

if TYPE_CHECKING:
    from search.cli.init_data import Wish
    from search.data.survey import Survey
    from search.space.spec import DataSpec

FILE = "space.yaml"


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            show_default=False,
            help=f"Where {FILE} is written, made where it is missing; without it, presets "
            "are listed.",
        ),
    ] = None,
    data: Data = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another preset than the one chosen by the images."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="multiclass, multilabel or regression; else a manifest's labels tell.",
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="Of the numbers of a regression, e.g. cm.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=f"Replace DIR/{FILE}.")] = False,
    json: Json = False,
) -> None:
    """Look at images, and write a space file for them, every line explained.

    Says how many images and classes there are, their sizes and balance, which cannot
    be read, and which are copies or near copies of each other. Without --data the
    images are those of DIR, where it holds any, else the sample. Nothing is replaced
    without --force. Without DIR it lists the presets that a space file can extend.

    \b
    Examples:
      search init
      search init flowers-study --data ~/flowers
      search init flowers-study --data ~/flowers/labels.csv --json
      search init heights --data heights.csv --task regression --unit cm

    Next: search plan DIR/space.yaml.
    """
    if folder is None:
        if any(each is not None for each in (data, preset, task, unit)):
            raise fail(
                "search init needs a folder to write to",
                fix=f"search init DIR{'' if data is None else f' --data {data}'}",
            )
        _list_presets(json=json)
        return
    from search.cli.init_data import Wish

    wish = Wish(data=data, preset=preset, task=task, unit=unit)
    raise typer.Exit(int(_start(folder, wish, force=force, json=json)))


def _list_presets(*, json: bool) -> None:
    import json as jsonlib
    import textwrap

    from search.cli.extended import presets

    found = presets()
    if json:
        print(jsonlib.dumps({"presets": [{"name": n, "for": use} for n, use in found.items()]}))
        return
    for name, use in found.items():
        print(name)
        print(textwrap.fill(use, width=78, initial_indent="  ", subsequent_indent="  "))
    print("\nnext\n  search init DIR --data PATH   chooses one, and writes a space file")
    print(f"  extends: {next(iter(found))}   as a line of your own space file")


def _start(folder: Path, wish: Wish, *, force: bool, json: bool) -> Exit:
    """Look, say, write."""
    import json as jsonlib

    from search.cli.data_check import check_data
    from search.cli.init_data import data_of, with_guess, with_task
    from search.cli.init_report import document, report_lines
    from search.cli.init_space import choose, space_text
    from search.cli.machine import this_machine

    file = folder / FILE
    _check_target(folder, file, force=force)
    preset = _known(wish.preset)
    spec = data_of(folder, wish.data)
    check_data(spec)
    spec = with_task(spec, wish)
    try:
        found = _survey(spec)
    except SearchError as error:
        raise with_guess(error, spec, wish) from None
    asked = wish.task is not None
    machine = this_machine(os.environ)
    start = choose(found, spec, machine=machine, preset=preset, task_asked=asked)
    problem = _refused(found, spec)
    if not json:
        print("\n".join(report_lines(found, start)))
        sys.stdout.flush()
    if problem is not None:
        if json:
            print(jsonlib.dumps(document(found, start, file=None)))
        raise with_guess(problem, spec, wish)
    _write(file, space_text(start, found, file))
    if json:
        print(jsonlib.dumps(document(found, start, file=file)))
    else:
        print(f"\nwritten\n  {printable(str(file))}\n\nnext\n  {start.next_command(file)}")
    return Exit.DONE


def _check_target(folder: Path, file: Path, *, force: bool) -> None:
    """Refuse a target before a minute is spent on the images."""
    try:
        if folder.exists() and not folder.is_dir():
            raise fail(
                f"{folder} is a file, not a folder to write {FILE} to",
                fix=f"search init DIR --data {folder}",
            )
        if os.path.lexists(file) and not force:
            raise fail(f"{file} is there already", fix="another DIR, or --force to replace it")
        if file.is_dir():
            raise fail(f"{file} is a folder", fix="another DIR")
    except (OSError, ValueError) as error:
        raise _cannot_write(file, error) from None


def _known(preset: str | None) -> str | None:
    """The preset's whole name, or a SearchError that lists them."""
    if preset is None:
        return None
    from search.cli.extended import PREFIX, fetch

    name = preset if preset.startswith(PREFIX) else f"{PREFIX}{preset}"
    fetch(name)
    return name


def _survey(spec: DataSpec) -> Survey:
    """Open every image."""
    from search.cli.paths import cache_folder
    from search.data.read import find_images
    from search.data.survey import survey

    progress = _Progress()
    cache = cache_folder(os.environ)
    try:
        listing = find_images(spec, base=Path.cwd(), cache=cache, progress=progress)
        return survey(listing, cache=cache, progress=progress)
    finally:  # what is said of an error begins on a line of its own
        progress.end()


def _refused(found: Survey, spec: DataSpec) -> SearchError | None:
    """Why a run would refuse these images; None where it would not."""
    from collections import Counter

    from search.cli.data_check import data_place
    from search.data.enough import check_enough

    good = {image.path for image in found.good}
    bad = Counter(
        name for image in found.listing.images if image.path not in good for name in image.strata
    )
    try:
        check_enough(
            found.good, found.listing.classes, where=data_place(spec), task=spec.task, bad=bad
        )
    except SearchError as error:
        return error
    return None


def _write(file: Path, text: str) -> None:
    """Write the file whole, once ``search plan`` has nothing against it."""
    from search.cli.options import SpaceFlags
    from search.cli.space_file import load_space
    from search.data.files import write_whole

    load_space(file, SpaceFlags(), env={}, images=False, text=text)
    try:
        write_whole(file, text.encode())
    except (OSError, ValueError) as error:
        raise _cannot_write(file, error) from None


def _cannot_write(file: Path, error: Exception) -> SearchError:
    why = (getattr(error, "strerror", None) or str(error)).lower()
    return fail(f"{file} cannot be written: {why}", fix="another DIR", status=Exit.USAGE)


class _Progress:
    """A line on stderr every few seconds of long work; on a terminal it stays one line."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = 0.2 if self._terminal else 5.0
        self._last = time.monotonic()
        self._shown = False

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        text = f"{what} {done:,} of {total:,}" if total else what
        if self._terminal:
            self._shown = True
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave no line of progress behind."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False
