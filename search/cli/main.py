"""The commands of ``search`` and their help. Nothing is done here.

Only typer and light leaves are imported at the top; each command imports its
body when it is called.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from search.backbones.without_compiler import put_off_compiler
from search.cli.arguments import (
    Address,
    Blocks,
    Concurrency,
    Data,
    Json,
    Minutes,
    Name,
    Sets,
    Space,
    StopAfter,
    Storage,
    Study,
    Trials,
    space_flags,
)
from search.cli.backbones import backbones
from search.cli.cache import cache
from search.cli.entry import Commands
from search.cli.init import init
from search.cli.options import RunOptions
from search.cli.stop import stop
from search.cli.weights import weights

app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(weights, name="weights")
app.add_typer(cache, name="cache")


def _version(value: bool) -> None:
    if value:
        from search import __version__

        typer.echo(f"search {__version__}")
        raise typer.Exit


@app.callback()
def search(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Find, record and export a fine-tuned image classifier.

    \b
    Start here:
      search init DIR --data PATH       look at images, write a space for them
      search plan spaces/quick.yaml     check a space, see what will happen
      search run spaces/quick.yaml      search; the same command goes on
      search status                     all studies on this machine
    """


@app.command()
def plan(
    space: Space = None,
    data: Data = None,
    name: Name = None,
    trials: Trials = None,
    minutes: Minutes = None,
    stop_after: StopAfter = None,
    concurrency: Concurrency = None,
    storage: Storage = None,
    sets: Sets = None,
    address: Address = None,
    blocks: Blocks = False,
) -> None:
    """Check a space file and print what a run of it would do.

    Every problem of the file is shown at once, each with its place and what to
    type instead. Nothing is run, downloaded or written.

    \b
    Examples:
      search plan spaces/vision.yaml
      search plan spaces/vision.yaml --data ~/flowers --trials 40
      search plan spaces/quick.yaml --set epochs.max=12 --set space.lr=1e-3
      search plan spaces/vision.yaml --blocks

    Next: search run SPACE, with the same flags.
    """
    from search.cli.plan import plan as body
    from search.tuning.address import chosen

    body(
        space,
        space_flags(data, name, trials, minutes, stop_after, concurrency, storage, sets),
        cluster=chosen(address, os.environ) is not None,
        blocks=blocks,
    )


@app.command()
def run(
    space: Space = None,
    data: Data = None,
    name: Name = None,
    trials: Trials = None,
    minutes: Minutes = None,
    stop_after: StopAfter = None,
    concurrency: Concurrency = None,
    storage: Storage = None,
    sets: Sets = None,
    address: Address = None,
    json: Json = False,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Serve the dashboard while it runs, on loopback.")
    ] = False,
) -> None:
    """Search: train, compare, stop the hopeless ones, export the best model.

    The same command goes on where it stopped: settled trials stay, interrupted
    ones continue, the budget is what is left. Ctrl-C stops it cleanly.

    \b
    Examples:
      search run spaces/quick.yaml
      search run spaces/vision.yaml --data ~/flowers --name flowers \\
          --trials 40 --minutes 120 --dashboard
      search run spaces/quick.yaml --json 2> progress.txt > result.json

    Next: search status, search predict, search dashboard.
    """
    began = time.monotonic()
    from search.cli.run import run as body
    from search.cli.space_source import given

    flags = space_flags(data, name, trials, minutes, stop_after, concurrency, storage, sets)
    raise typer.Exit(
        int(
            body(
                RunOptions(
                    space=given(space, "run"),
                    flags=flags,
                    address=address,
                    json=json,
                    dashboard=dashboard,
                    began=began,
                )
            )
        )
    )


@app.command()
def status(
    study: Study = None,
    trial: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="One trial of the study.")
    ] = None,
    storage: Storage = None,
    json: Json = False,
) -> None:
    """Show all studies, one study, or one trial.

    Without STUDY: a line per study, the newest first; with --trial the newest
    study is meant. One study: counts, best, leaderboard. One trial: settings,
    curve, why it stopped, log.

    \b
    Examples:
      search status
      search status quick
      search status quick --trial 12
      search status quick --json | jq .best

    Next: search export STUDY, search dashboard.
    """
    from search.cli.status import status as body

    body(study, trial=trial, storage=storage, json=json)


app.command()(stop)
app.command()(backbones)
app.command()(init)


@app.command()
def dashboard(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="N", help="On 127.0.0.1; else 8080 or the next free one."
        ),
    ] = None,
    storage: Storage = None,
) -> None:
    """Open the Optuna dashboard, read-only, on this machine alone.

    Over SSH it prints the line that forwards the port to where you sit.

    \b
    Examples:
      search dashboard
      search dashboard --port 9000
    """
    from search.cli.dashboard import dashboard as body

    body(port=port, storage=storage)


@app.command()
def export(
    study: Study = None,
    trial: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Another trial than the best.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to write; else studies/STUDY/export."),
    ] = None,
    storage: Storage = None,
) -> None:
    """Write a trial's model as a folder: weights, labels, preprocessing, card.

    \b
    Examples:
      search export
      search export quick --trial 7 --to models/quick-7

    Next: search predict DIR IMAGE_OR_FOLDER...
    """
    from search.cli.export import export as body

    body(study, trial=trial, to=to, storage=storage)


@app.command()
def predict(
    model: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that search export wrote.")
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE_OR_FOLDER...", help="What to classify.")
    ],
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
) -> None:
    """Classify images with an exported model.

    It needs that folder and nothing else of the study. An image that cannot be
    read is listed with the reason, and the exit status is 3.

    \b
    Examples:
      search predict studies/quick/export photo.jpg
      search predict studies/quick/export new/ --csv > labels.csv
    """
    from search.cli.predict import predict as body

    raise typer.Exit(int(body(model, images, json=json, csv=csv)))


@app.command(hidden=True)
def schema() -> None:
    """Print the JSON Schema of a space file (schema/space.schema.json)."""
    from search.cli.schema import schema as body

    body()


def main() -> None:
    """The ``search`` command; does not return."""
    put_off_compiler()
    app(prog_name="search")


if __name__ == "__main__":
    main()
