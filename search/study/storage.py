"""From a storage URL to an Optuna storage; passwords never leave this module.

Promises: a SQLite result that was acknowledged is on the disk (synchronous
FULL); reading never creates anything; no message holds a password.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.pool import QueuePool

from search.problems import Exit, Problem, SearchError, fail
from search.study.transactions import gathering
from search.study.unusable import check_file, why

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

LOCK_SECONDS = 60
"""How long a write waits for another process's write to the same SQLite file."""
CONNECT_SECONDS = 10
"""How long a PostgreSQL server may take to answer."""
EXAMPLE = "sqlite:///studies/studies.db or postgresql://user@host/database"
_PASSING = ("08", "40", "55P03", "57P", "53300")
"""SQL states: connection, deadlock, lock, shutdown and start-up, too many clients."""
_SECRET = re.compile(r"(?i)((?:password|passwd|pwd|secret|token)[^=&\s]*=)[^&\s]+")


def redact(url: str) -> str:
    """The URL with every password as ``***``, e.g. ``postgresql://me:***@host/db``."""
    hidden = re.sub(r"(?s)(//[^/?#:@]*):(.*)@", r"\1:***@", url)
    return _SECRET.sub(r"\1***", hidden)


def parse(url: str) -> URL:
    """The URL, checked: a SQLite file or a PostgreSQL database.

    Raises:
        SearchError: With status USAGE, when it is neither.
    """
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise fail(f"storage {redact(url)!r} is not a database URL", fix=EXAMPLE) from None
    backend = parsed.get_backend_name()
    if backend in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise fail(f"storage {redact(url)!r} is neither SQLite nor PostgreSQL", fix=EXAMPLE)
    if not parsed.database or parsed.database == ":memory:":
        raise fail(f"storage {url!r} names no file: the study would be lost", fix=EXAMPLE)
    if parsed.database.startswith("file:") or parsed.query or parsed.host:
        raise fail(f"storage {redact(url)!r} is more than a path", fix=EXAMPLE)
    return parsed


def sqlite_file(url: str) -> Path | None:
    """The absolute file of a SQLite URL, from the current folder; None for others."""
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    return Path(str(parsed.database)).absolute()


class StorageAway(SearchError):
    """A fault that may pass: another program's lock, a connection that was lost."""


@contextmanager
def storage_faults(url: str) -> Iterator[None]:
    """Turn what a database or its disk does wrong into a SearchError, STORAGE;
    a StorageAway where the same call may work a little later."""
    try:
        yield
    except Exception as error:
        if not _is_fault(error):
            raise
        cause = error.__cause__ if _is_optunas(error) else error
        origin = getattr(cause, "orig", None) or cause or error
        problem = _problem(url, origin)
        kind = StorageAway if _may_pass(cause, origin) else SearchError
        raise kind([problem], Exit.STORAGE) from None


def _problem(url: str, origin: BaseException) -> Problem:
    path = sqlite_file(url) if url.startswith("sqlite:") else None
    known = None if path is None else why(path, origin)
    if known is not None:
        return Problem(fact=f"storage {known[0]}", fix=known[1])
    lines = str(origin).strip().splitlines() or [type(origin).__name__]
    return Problem(
        fact=f"storage {redact(url)}: {_without_password(lines[0], url)}",
        fix="check that it can be reached and written, then run the same command again",
    )


def _may_pass(cause: BaseException | None, origin: BaseException) -> bool:
    """Whether a fault is a lock or a lost connection, and not, say, a full disk."""
    if isinstance(origin, sqlite3.Error):
        code = getattr(origin, "sqlite_errorcode", 0) & 0xFF  # the primary one
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    if not isinstance(cause, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)):
        return False
    state = getattr(origin, "sqlstate", None)
    return state is None or state.startswith(_PASSING)


def _is_fault(error: Exception) -> bool:
    faults = (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError)
    return isinstance(error, faults) or _is_optunas(error)


def _is_optunas(error: Exception) -> bool:
    """Whether Optuna says so; without importing it where it never was."""
    module = sys.modules.get("optuna.exceptions")
    return module is not None and isinstance(error, module.StorageInternalError)


def _without_password(text: str, url: str) -> str:
    try:
        secret = make_url(url).password
    except (sqlalchemy.exc.ArgumentError, ValueError):
        secret = None
    text = redact(text)
    return text.replace(secret, "***") if secret else text


def engine_options(parsed: URL, *, read_only: bool) -> tuple[str, dict[str, Any]]:
    """What ``sqlalchemy.create_engine`` takes: a URL and its keyword arguments."""
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database)).absolute()
        return "sqlite://", {
            "creator": lambda: _open_sqlite(path, read_only=read_only),
            "poolclass": QueuePool,
        }
    # A host that vanishes says nothing: without these a call to it waits for hours.
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": CONNECT_SECONDS,
        "keepalives_interval": CONNECT_SECONDS // 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 2 * CONNECT_SECONDS * 1000,  # milliseconds
    }
    if read_only:
        arguments["options"] = "-c default_transaction_read_only=on"
    return parsed.render_as_string(hide_password=False), {
        "pool_pre_ping": True,
        "connect_args": arguments,
    }


def _open_sqlite(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "mode=ro" if read_only else "mode=rwc"
    if read_only and not _can_write_beside(path):
        mode = "immutable=1"  # no -shm file can be made there, so nothing is written either
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}",
        uri=True,
        timeout=LOCK_SECONDS,
        check_same_thread=False,
    )
    if not read_only:
        # Readers do not hold up the writer, and a reader can open the file after
        # a kill -9. Where the file system cannot, SQLite keeps its usual journal.
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
    return connection


def _can_write_beside(path: Path) -> bool:
    return os.access(path.parent, os.W_OK)


def read_engine(url: str) -> Engine | None:
    """An engine that cannot write; None when the SQLite file is not there.

    Raises:
        OSError: If something else than a file is there; see :func:`storage_faults`.
        SearchError: USAGE for a URL that is none, MISSING without the driver.
    """
    parsed = parse(url)
    path = sqlite_file(url)
    if path is not None and not check_file(path):
        return None
    text, options = engine_options(parsed, read_only=True)
    with _driver():
        return sqlalchemy.create_engine(text, **options)


@contextmanager
def _driver() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise fail(
            f"PostgreSQL needs a package that is not installed ({error.name})",
            fix="pip install 'finetune-search[cluster]'",
            status=Exit.MISSING,
        ) from None


def write_engine(url: str) -> Engine:
    """An engine for what is ours beside Optuna's tables; makes a SQLite file's
    folder, and the file with the first connection.

    Raises:
        SearchError: As :func:`connect`.
    """
    parsed = parse(url)
    path = sqlite_file(url)
    with storage_faults(url), _driver():
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        text, options = engine_options(parsed, read_only=False)
        return sqlalchemy.create_engine(text, **options)


def connect(url: str) -> RDBStorage:
    """The storage of a URL, made when it is not there.

    Args:
        url: E.g. ``sqlite:///studies/studies.db``; a relative file starts at
            the current folder, and its folder is made.

    Raises:
        SearchError: STORAGE when it cannot be reached or written, USAGE when
            the URL is none, MISSING without the database's driver.
    """
    parsed = parse(url)
    path = sqlite_file(url)
    with storage_faults(url):
        if path is None:
            return _made_by_one(parsed)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            return _made_by_one(parsed)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold off others that open a SQLite file here: Optuna fails when two
    processes make the tables of a new one at the same time. Where the file
    system has no such lock nobody is held off, and the second tries again."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _made_by_one(parsed: URL) -> RDBStorage:
    """Optuna's tables, made at the same time by several: who comes second finds
    them at the next try."""
    for _ in range(4):
        try:
            return _rdb(parsed, read_only=False)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            time.sleep(0.3)
        except sqlalchemy.exc.OperationalError as error:  # SQLite's way to say it
            if "already exists" not in str(error.orig):
                raise
            time.sleep(0.3)
    return _rdb(parsed, read_only=False)


def connect_read_only(url: str) -> RDBStorage | None:
    """The storage of a URL, for reading; None when the SQLite file is not there."""
    parsed = parse(url)
    path = sqlite_file(url)
    with storage_faults(url):
        if path is not None and not check_file(path):
            return None
        return _rdb(parsed, read_only=True)


def _rdb(parsed: URL, *, read_only: bool) -> RDBStorage:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    text, options = engine_options(parsed, read_only=read_only)
    with _driver():
        storage = optuna.storages.RDBStorage(
            # Optuna fills in {SCHEMA_VERSION}; a brace in a password is no template.
            text.replace("{", "{{").replace("}", "}}"),
            engine_kwargs=options,
            skip_table_creation=read_only,
        )
    return gathering(storage)
