"""The arguments and options that several commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.complete import complete_sets, complete_spaces, complete_studies
from search.cli.options import SpaceFlags

Space = Annotated[
    Path | None,
    typer.Argument(
        metavar="SPACE",
        show_default=False,
        autocompletion=complete_spaces,
        help="The space file, e.g. spaces/quick.yaml.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|CSV",
        help="Images: a folder with a folder per class, or a manifest (.csv).",
    ),
]
Name = Annotated[
    str | None, typer.Option(metavar="STUDY", help="Name of the study; the same name goes on.")
]
Trials = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Budget: settled trials, over all runs.")
]
Minutes = Annotated[
    float | None, typer.Option(metavar="M", help="Budget: minutes, over all runs of the study.")
]
StopAfter = Annotated[
    int | None,
    typer.Option(
        "--stop-after",
        min=1,
        metavar="N",
        help="Budget: settled trials in a row without a better one.",
    ),
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="At most this many trials at once.")
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where studies are recorded; else SEARCH_STORAGE, else the space file's "
        "(sqlite:///studies/studies.db).",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=complete_sets,
        help="Replace any line of the space file, e.g. space.lr=1e-3. Repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Study = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        show_default=False,
        autocompletion=complete_studies,
        help="Name of a study; the newest when left out.",
    ),
]
Blocks = Annotated[
    bool,
    typer.Option("--blocks", help="Also which of the library's modules each block is."),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="A running Ray cluster, or auto; else RAY_ADDRESS; else Ray starts here.",
    ),
]


def space_flags(
    data: str | None,
    name: str | None,
    trials: int | None,
    minutes: float | None,
    stop_after: int | None,
    concurrency: int | None,
    storage: str | None,
    sets: list[str] | None,
) -> SpaceFlags:
    """The flags that override a space file, as one value."""
    return SpaceFlags(
        data=data,
        name=name,
        trials=trials,
        minutes=minutes,
        stop_after=stop_after,
        concurrency=concurrency,
        storage=storage,
        sets=tuple(sets or ()),
    )
