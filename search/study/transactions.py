"""Several writes to an Optuna storage as one transaction.

Optuna commits every single write. Here a thread's commits are gathered: all of
them land at the end, or none does. What Optuna itself ignores (a write that
breaks a constraint) undoes the rest, too, and is raised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import sqlalchemy
from sqlalchemy import orm

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

Check: TypeAlias = Callable[[orm.Session], None]
"""Looks at an open transaction; raises where it may not go on."""
_CHECK = "check"


def gathering(storage: RDBStorage) -> RDBStorage:
    """Make a storage ready for :func:`together`."""
    storage.scoped_session = orm.scoped_session(
        orm.sessionmaker(bind=storage.engine, class_=_Session)
    )
    return storage


def guard(storage: BaseStorage, check: Check) -> None:
    """Let ``check`` see each transaction of :func:`together` from now on, before
    it writes; what it raises ends the transaction. Nothing in memory is guarded."""
    sessions = getattr(storage, "scoped_session", None)
    if sessions is not None:
        sessions.remove()
        sessions.configure(info={_CHECK: check})


class _Session(orm.Session):
    """A session whose commits can be gathered into one."""

    gathering = False
    undone: BaseException | None = None

    def commit(self) -> None:
        if not self.gathering:
            super().commit()
        elif self.undone is not None:
            raise _Undone from self.undone
        else:
            self.flush()

    def rollback(self) -> None:
        if self.gathering and self.undone is None:
            self.undone = sys.exc_info()[1] or RuntimeError("rolled back")
        super().rollback()

    def close(self) -> None:
        if not self.gathering:
            super().close()


class _Undone(Exception):
    """A write of a gathered transaction failed, so none of it can be kept."""


@contextmanager
def together(storage: BaseStorage, *, lock_seconds: float | None = None) -> Iterator[None]:
    """All writes of this thread inside land in one transaction, or none does.

    In a storage without transactions (in memory) they land one by one.

    Args:
        storage: The storage.
        lock_seconds: How long to wait for another process's write to the same
            SQLite file; None waits as long as the connection does.
    """
    sessions = getattr(storage, "scoped_session", None)
    session = sessions() if sessions is not None else None
    if not isinstance(session, _Session):
        yield
        return
    if session.gathering:
        raise RuntimeError("together() inside together()")
    try:
        if session.get_bind().dialect.name == "sqlite":
            if lock_seconds is not None:
                limit = f"PRAGMA busy_timeout = {round(lock_seconds * 1000)}"
                session.execute(sqlalchemy.text(limit))
            # Deferred, a write after a read fails at once when another process has
            # written in between; so take the write lock, and wait for it, first.
            session.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        check: Check | None = session.info.get(_CHECK)
        if check is not None:
            check(session)
        session.gathering = True
        yield
        session.commit()
    except _Undone as error:
        session.rollback()
        raise error.__cause__ or error from None
    except BaseException:
        session.rollback()
        raise
    else:
        session.gathering = False
        try:
            session.commit()
        except BaseException:
            session.rollback()
            raise
    finally:
        session.gathering = False
        session.undone = None
        session.close()


def closed(storage: BaseStorage) -> None:
    """Let go of the database; a SQLite file is whole again without its -wal."""
    sessions = getattr(storage, "scoped_session", None)
    if sessions is not None:
        sessions.remove()
    engine = getattr(storage, "engine", None)
    if engine is not None:
        engine.dispose()
