"""A real PostgreSQL server, started by the tests themselves and stopped by its pid.

Its own temporary folder, loopback alone, a password, never as root. It can be
killed in mid-work and started again on what it left: an outage.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

USER = "searcher"
PASSWORD = "s3cret-0f-the-tests"
_TRUSTED = {"fsync": "off", "max_connections": "30", "shared_buffers": "16MB"}
"""Without fsync a crash of the server loses nothing, only one of the machine would."""


def _programs() -> Path | None:
    """Where ``initdb`` and ``postgres`` are: Debian keeps them out of the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def why_not() -> str:
    """Why no server can be started here; empty where one can."""
    if _programs() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed: pip install 'psycopg[binary]'"
    return ""


def _servant() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: arguments of ``Popen`` for another user."""
    if os.getuid() != 0:
        return {}
    names = {each.pw_name for each in pwd.getpwall()}
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@dataclass
class Postgres:
    """A server that runs, unless it is down at the moment."""

    folder: Path
    port: int
    programs: Path
    process: subprocess.Popen[bytes] | None = None
    databases: int = field(default=0)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg

        self.databases += 1
        name = f"of_test_{self.databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        import psycopg

        options = [f"--{name.replace('_', '-')}={value}" for name, value in _TRUSTED.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(self.programs / "postgres"),
                    *("-D", str(self.folder / "data"), "-p", str(self.port)),
                    *("-h", "127.0.0.1", "-k", ""),
                    *options,
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C is for pytest
                **_servant(),
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def crash(self) -> None:
        """End it at once, as ``pg_ctl stop -m immediate`` does: connections are lost."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=30)

    @contextmanager
    def down(self, seconds: float) -> Iterator[None]:
        """An outage that ends by itself; leaves when the server is there again."""
        import threading

        self.crash()
        timer = threading.Timer(seconds, self.start)
        timer.start()
        try:
            yield
        finally:
            timer.join()


@contextmanager
def running() -> Iterator[Postgres]:
    """A new server; gone at the end, with all that it held.

    Skips the test where there is none to start.
    """
    lacking = why_not()
    if lacking:
        pytest.skip(lacking)
    programs = _programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="search-postgres-"))
    servant = _servant()
    try:
        (folder / "password").write_text(PASSWORD)
        if servant:
            for path in (folder, folder / "password"):
                os.chown(path, servant["user"], servant["group"])
        made = subprocess.run(
            [
                str(programs / "initdb"),
                *("-D", str(folder / "data"), "-U", USER, "--pwfile", str(folder / "password")),
                *("-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            **servant,
        )
        assert made.returncode == 0, made.stderr
        server = Postgres(folder=folder, port=_free_port(), programs=programs)
        try:
            server.start()
            yield server
        finally:
            server.crash()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
