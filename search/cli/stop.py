"""``search stop``: ends a running study politely, from wherever its storage is reached."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.arguments import Storage
from search.cli.complete import complete_running
from search.problems import SearchError, fail, printable

if TYPE_CHECKING:
    from search.study.holder import Holder

LOOK_SECONDS = 0.5
"""How often it is looked whether the driver has gone."""
SAY_SECONDS = 5.0


def stop(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            show_default=False,
            autocompletion=complete_running,
            help="Name of a running study.",
        ),
    ] = None,
    storage: Storage = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return at once, not when its run has ended.")
    ] = False,
) -> None:
    """End a running study politely, from wherever it is.

    Works on any host that reaches its storage. Its run sees it within 5 s and
    ends as at Ctrl-C: no new trials, reports land, interrupted trials wait; its
    exit status is 143. The same search run goes on with it. A study that does
    not run is stopped already: exit status 0.

    \b
    Examples:
      search stop quick
      search stop flowers --storage postgresql://me@host/studies --no-wait

    Next: search status STUDY.
    """
    from search.cli.paths import storage_flag, storage_url

    end(
        storage_url(storage, os.environ),
        study,
        flag=storage_flag(storage),
        wait=not no_wait,
    )


def end(url: str, study: str | None, *, flag: str, wait: bool) -> None:
    """Ask a study's driver to end, and wait until it has.

    Args:
        url: The storage.
        study: Its name.
        flag: What a suggested command needs to find that storage.
        wait: Whether to wait for it.

    Raises:
        SearchError: If there is no such study (2), or no storage answers (74).
    """
    from search.study.holder import find_holder
    from search.study.lease import ask_to_stop

    if study is None:
        raise _no_name(url, flag)
    holder = find_holder(url, study)
    if holder is None or holder.gone:
        _say_that_none_runs(url, study, holder)
        return
    ask_to_stop(url, study, holder.owner.token)
    print(printable(f"{study} is running {holder}; it was asked to stop"), flush=True)
    if not wait:
        return
    seconds = _until_gone(url, study, holder)
    print(f"{study} ended after {seconds:.0f} s; the same search run goes on with it")


def _until_gone(url: str, study: str, asked: Holder) -> float:
    """Seconds until the holder that was asked has let go, died or expired."""
    from search.study.holder import find_holder

    began = said = time.monotonic()
    while True:
        now = find_holder(url, study)
        if now is None or now.gone or now.owner != asked.owner:
            return time.monotonic() - began
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            print(f"waiting for it to end, {said - began:.0f} s", file=sys.stderr, flush=True)
        time.sleep(LOOK_SECONDS)


def _say_that_none_runs(url: str, study: str, left: Holder | None) -> None:
    """Say so of a study that there is; its last driver may have left a lease."""
    if left is None:
        from search.study.views import view

        view(url, study)  # or it says that there is none, and which there are
        print(f"{study} is not running")
        return
    why = "was killed" if left.owner.dead else "was not heard of for a while"
    print(printable(f"{study} is not running; its last run, {left}, {why}"))


def _no_name(url: str, flag: str) -> SearchError:
    from search.study.holder import find_holders

    running = [name for name, holder in find_holders(url).items() if not holder.gone]
    return fail(
        "search stop needs the name of a study"
        + (f"; running: {', '.join(running)}" if running else "; none is running"),
        fix=f"search stop {running[0] if running else 'STUDY'}{flag}",
    )
