"""``search dashboard``: the Optuna dashboard, read-only, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from search.cli.paths import absolute_storage, storage_url
from search.tuning.events import Listener, Note


def dashboard(*, port: int | None, storage: str | None) -> None:
    """Serve until Ctrl-C.

    Raises:
        SearchError: If there is no storage yet, or the port is taken.
    """
    from search.study.dashboard import forward_line, server

    with server(storage_url(storage, os.environ), port=port) as serving:
        bound = serving.server_port
        print(f"http://127.0.0.1:{bound}/  read-only; Ctrl-C ends it", flush=True)
        forward = forward_line(bound)
        if forward:
            print(f"this is an SSH session; on your own machine type\n  {forward}", flush=True)
        serving.serve_forever()


@contextmanager
def beside(storage: str, listen: Listener) -> Iterator[None]:
    """``search dashboard`` beside the run, ended with it."""
    child = subprocess.Popen(
        [sys.executable, "-m", "search.cli.main", "dashboard"],
        env={**os.environ, "SEARCH_STORAGE": absolute_storage(storage)},
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # Ctrl-C is for the run, which ends this one with itself
    )
    assert child.stdout is not None
    try:
        address = child.stdout.readline().split()
        if address:
            listen(Note(text=f"dashboard: {address[0]}  read-only, until this run ends"))
        yield
    finally:
        child.terminate()
        child.wait()
