"""``search dashboard``: the Optuna dashboard, read-only, on this machine."""

from __future__ import annotations

import os

from search.cli.paths import storage_url


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
