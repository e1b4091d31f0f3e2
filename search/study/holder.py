"""Who holds which study of a storage: one row a study, in a table of its own.

Everything that asks for a time asks the database, whose clock is the only one
that all hosts share. A row is written in one conditional statement, so of many
that want a study one gets it. No optuna here: a row is read in milliseconds.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy
from sqlalchemy import orm
from sqlalchemy.engine import Connection, Engine

from search.study.process import start_of, this_machine
from search.study.storage import read_engine, storage_faults

EXPIRES_SECONDS = 30.0
"""A study whose driver did not renew its lease for so long is free."""
_TABLE = "search_leases"
_MAKE = f"""
    CREATE TABLE {_TABLE} (
        study VARCHAR(512) PRIMARY KEY, token TEXT NOT NULL,
        host TEXT NOT NULL, machine TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
        since DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION NOT NULL,
        stop TEXT NOT NULL
    )
"""
_NOW = {
    # Seconds since 1970, to the millisecond, when the statement is run.
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)",
}
_ALL = f"SELECT study FROM {_TABLE} ORDER BY study"
_FIND = f"""
    SELECT token, host, machine, pid, started, since, stop, expires < {{now}} AS expired
    FROM {_TABLE} WHERE study = :study
"""
_TAKE = f"""
    INSERT INTO {_TABLE} VALUES (
        :study, :token, :host, :machine, :pid, :started, {{now}}, {{now}} + :lasts, ''
    )
    ON CONFLICT (study) DO UPDATE SET
        token = excluded.token, host = excluded.host, machine = excluded.machine,
        pid = excluded.pid, started = excluded.started, since = excluded.since,
        expires = excluded.expires, stop = ''
    WHERE {_TABLE}.expires < {{now}} OR {_TABLE}.token IN (:dead, :token)
"""
_RENEW = f"UPDATE {_TABLE} SET expires = {{now}} + :lasts WHERE study = :study AND token = :token"
_LEAVE = f"DELETE FROM {_TABLE} WHERE study = :study AND token = :token"
_ASK_TO_STOP = f"UPDATE {_TABLE} SET stop = :host WHERE study = :study AND token = :token"
_OWNED = f"SELECT token FROM {_TABLE} WHERE study = :study"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One driver, and nobody else ever."""

    token: str
    host: str
    machine: str
    pid: int
    started: str

    @staticmethod
    def here() -> Owner:
        """This process, from now on."""
        return Owner(
            token=secrets.token_hex(16),
            host=socket.gethostname(),
            machine=this_machine(),
            pid=os.getpid(),
            started=start_of(os.getpid()),
        )

    @property
    def dead(self) -> bool:
        """Whether its process is known to have ended: it ran on this machine."""
        return self.machine == this_machine() and self.started != start_of(self.pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a study, as its row says."""

    owner: Owner
    since: datetime
    expired: bool
    """It did not renew its lease in time, by the database's clock."""
    stop: str
    """Host from which it was asked to stop; empty when it was not."""

    @property
    def gone(self) -> bool:
        """Whether another may take the study."""
        return self.expired or self.owner.dead

    def __str__(self) -> str:
        since = self.since.isoformat(timespec="seconds")
        return f"on {self.owner.host}, pid {self.owner.pid}, since {since}"


def find_holder(url: str, study: str) -> Holder | None:
    """Who holds a study; None when nobody ever did or the last one let go.

    Raises:
        SearchError: If the storage cannot be read (74), or the URL is none (2).
    """
    return find_holders(url, study).get(study)


def find_holders(url: str, study: str | None = None) -> dict[str, Holder]:
    """Who holds what, by study; of one study where it is named.

    Raises:
        SearchError: As :func:`find_holder`.
    """
    with storage_faults(url):
        engine = read_engine(url)
        if engine is None:
            return {}
        try:
            with engine.connect() as connection:
                if not sqlalchemy.inspect(connection).has_table(_TABLE):
                    return {}
                names = (
                    [study]
                    if study is not None
                    else list(connection.execute(sqlalchemy.text(_ALL)).scalars())
                )
                found = {name: holder_in(connection, name) for name in names}
                return {name: holder for name, holder in found.items() if holder is not None}
        finally:
            engine.dispose()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction, with SQLite's write lock from the start."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        yield connection
        connection.commit()


def make_table(engine: Engine) -> None:
    """The table of leases, made by one of those that want it at the same time."""
    for last in (False, False, False, True):
        try:
            with writing(engine) as connection:
                if not sqlalchemy.inspect(connection).has_table(_TABLE):
                    connection.execute(sqlalchemy.text(_MAKE))
            return
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            if last:
                raise


def take(connection: Connection, study: str, owner: Owner, *, lasts: float) -> Holder | None:
    """Make ``owner`` the holder of a study that nobody holds, for ``lasts`` seconds.
    Can be called again where it is not known whether the first call was committed.

    Returns:
        None when it is; else who holds it.
    """
    before = holder_in(connection, study)
    taken = connection.execute(
        _text(connection, _TAKE),
        {
            "study": study,
            "lasts": lasts,
            "dead": before.owner.token if before is not None and before.owner.dead else "",
            "token": owner.token,
            "host": owner.host,
            "machine": owner.machine,
            "pid": owner.pid,
            "started": owner.started,
        },
    )
    return None if taken.rowcount == 1 else holder_in(connection, study)


def renew(connection: Connection, study: str, token: str, *, lasts: float) -> bool:
    """Hold on for ``lasts`` seconds from now; whether the study is still held."""
    values = {"study": study, "token": token, "lasts": lasts}
    return connection.execute(_text(connection, _RENEW), values).rowcount == 1


def leave(connection: Connection, study: str, token: str) -> None:
    """Let go of a study; of another's lease nothing changes."""
    connection.execute(sqlalchemy.text(_LEAVE), {"study": study, "token": token})


def ask_to_stop(connection: Connection, study: str, token: str) -> None:
    """Leave the request to end that the holder finds when it renews its lease."""
    values = {"study": study, "token": token, "host": socket.gethostname()}
    connection.execute(sqlalchemy.text(_ASK_TO_STOP), values)


def owned(session: orm.Session, study: str, token: str) -> bool:
    """Whether a study is held under this token, and stays so until this
    transaction has ended: nobody can take it in between."""
    query = _OWNED
    if session.get_bind().dialect.name != "sqlite":  # which has one writer at a time
        query += " FOR SHARE"
    return session.execute(sqlalchemy.text(query), {"study": study}).scalar() == token


def holder_in(connection: Connection, study: str) -> Holder | None:
    """Who holds a study, read in an open transaction."""
    row = connection.execute(_text(connection, _FIND), {"study": study}).one_or_none()
    if row is None:
        return None
    return Holder(
        owner=Owner(
            token=row.token,
            host=row.host,
            machine=row.machine,
            pid=row.pid,
            started=row.started,
        ),
        since=datetime.fromtimestamp(row.since, UTC),
        expired=bool(row.expired),
        stop=row.stop,
    )


def _text(connection: Connection, statement: str) -> sqlalchemy.TextClause:
    """The statement with the database's own clock in it."""
    return sqlalchemy.text(statement.format(now=_NOW[connection.dialect.name]))
