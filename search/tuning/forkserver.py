"""Workers as forks of one process that has imported torch and Ray.

Importing torch, torchvision, timm and Ray Tune costs some seconds and 450 MB, and Ray
starts every worker as a new interpreter. Where this command starts Ray itself, one
process imports them once, while Ray is coming up; ``fork_request.py``, which Ray is
told to run in place of Python (its runtime environment's ``py_executable``), asks
that process for a fork. Workers then share those pages and are there in a second.
Without an answer a worker is started as Ray would have done it.

Ray itself is imported at the first request and not before: its native part reads the
environment, the cluster's token among it, when it is loaded.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from search.backbones.without_compiler import put_off_compiler
from search.data.parallel import QUIET
from search.tuning.tune_alone import import_tune

_LONGEST = 100
"""Bytes of a socket's path that every Linux takes."""
_PATIENCE = 30.0
"""Seconds that a request may take to arrive; nobody blocks the others for longer."""
_BURY_MS = 1000
"""How long a fork that has ended is still in the table of processes, at most."""
_LEAVE_SECONDS = 2.0
_STANDARD = 3
"""Standard input, output and error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A process that Ray wants."""

    arguments: list[str]
    """The script or ``-m`` and a module, and its arguments."""
    environment: dict[str, str]
    folder: str
    """Its working directory."""


@contextmanager
def forkserver(libraries: Sequence[str] = ()) -> Iterator[str | None]:
    """Run the server for as long as the context is open.

    Args:
        libraries: Modules that trials are known to need beside those that all need.

    Yields:
        What Ray, and whoever wants what the server imported, shall run in place of
        Python; None where processes cannot be forked safely after imports (anything but
        Linux) or the temporary folder's name is too long for a socket.
    """
    if not sys.platform.startswith("linux"):
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="search-fork-"))  # for its owner alone
    path = folder / "socket"
    if len(os.fsencode(path)) > _LONGEST:
        folder.rmdir()
        yield None
        return
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    # The server ends when its standard input does, so also when this process is killed.
    server = subprocess.Popen(
        [sys.executable, "-P", "-W", QUIET, "-m", __name__, str(listener.fileno()), *libraries],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        start_new_session=True,  # Ctrl-C is this process's to handle
    )
    listener.close()
    request = Path(__file__).with_name("fork_request.py")
    try:
        yield shlex.join([sys.executable, "-I", "-S", str(request), str(path)])
    finally:
        assert server.stdin is not None
        server.stdin.close()
        try:
            server.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:  # it is importing
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def serve(listener: socket.socket, libraries: Sequence[str]) -> NoReturn:
    """Fork a worker for every request, until standard input ends; the forks end then, too."""
    put_off_compiler()
    import search.tuning.worker  # noqa: F401  torch and torchvision, for all forks

    for name in libraries:
        with suppress(ImportError):  # an optional part: said where it is missed
            importlib.import_module(name)

    forks: set[int] = set()
    loaded = False
    waited = select.poll()
    for each in (0, listener.fileno()):
        waited.register(each, select.POLLIN)
    while True:
        ready = {number for number, _ in waited.poll(_BURY_MS)}
        forks -= _dead()
        if 0 in ready and not os.read(0, 1):
            # One that is still looking for its Ray would do so for a minute.
            for fork in forks:
                os.kill(fork, signal.SIGKILL)
            # Nobody else would do it where the command was killed.
            shutil.rmtree(Path(listener.getsockname()).parent, ignore_errors=True)
            os._exit(0)
        if listener.fileno() not in ready:
            continue
        client, _ = listener.accept()
        client.settimeout(_PATIENCE)
        with client, suppress(OSError, ValueError, KeyError, TypeError):
            files, request = _received(client)
            if not loaded:
                _environment(request.environment)
                _load_ray()
                loaded = True
            child = os.fork()
            if child == 0:
                listener.close()
                client.close()
                _become(files, request)
            forks.add(child)
            for number in files:
                os.close(number)
            client.sendall(str(child).encode())


def _dead() -> set[int]:
    """Forks that have ended since the last call."""
    found = set()
    with suppress(ChildProcessError):  # there is none at all
        while (child := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            found.add(child)
    return found


def _received(client: socket.socket) -> tuple[list[int], Request]:
    """The standard files of a request, and what it says."""
    _, files, _, _ = socket.recv_fds(client, 1, _STANDARD)
    with client.makefile("rb") as stream:
        said = json.load(stream)
    return files, Request(
        arguments=[str(each) for each in said["arguments"]],
        environment={str(name): str(value) for name, value in said["environment"].items()},
        folder=str(said["folder"]),
    )


def _load_ray() -> None:
    import_tune()
    import search.tuning.trainable  # noqa: F401

    # A collection in a fork would touch, and so copy, every page that has objects.
    gc.collect()
    gc.freeze()


def _environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _become(files: list[int], request: Request) -> NoReturn:
    """Turn this fork into what the request wanted to start."""
    try:
        os.setpgrp()  # Ray ends a worker's whole group
        for place, number in enumerate(files):
            os.dup2(number, place)
            os.close(number)
        _environment(request.environment)
        os.chdir(request.folder)
        sys.argv = request.arguments
        if sys.argv[0] == "-m":
            del sys.argv[0]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
