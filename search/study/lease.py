"""One driver per study, wherever it runs: a lease in the study's own storage.

The driver renews it every few seconds; it is judged by the database's clock. A
lease is free once its holder let go, died on this machine, or did not renew it
for half a minute. A driver that lost its lease writes nothing more: every
transaction of its recorder checks first who holds the study (:meth:`check`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import sqlalchemy
from sqlalchemy import orm
from sqlalchemy.engine import Engine

from search.problems import Exit, Problem, SearchError, fail
from search.study import holder
from search.study.holder import EXPIRES_SECONDS, Owner
from search.study.patience import Patience
from search.study.storage import storage_faults, write_engine

RENEW_SECONDS = 3.0
"""How often a lease is renewed; as soon is a request to stop seen."""
_OPEN_SECONDS = 15.0
"""How long the storage may be away when a lease is wanted."""
_LET_GO_SECONDS = 2.0
"""How long a renewal that is under way may hold up the end."""


class LeaseLost(SearchError):
    """Another driver has the study now; nothing of this one may be written."""


class Lease:
    """Held for the time of a ``with``.

    Args:
        url: The storage; made if needed.
        study: Its name.
        where: What ``search stop`` needs to find the storage, e.g. ``" --storage URL"``.
        on_end: Called once, from another thread, when this driver is to end:
            see :attr:`lost` and :attr:`stop`.
        renews: Seconds between two renewals.
        lasts: Seconds after the last renewal until others may take it.

    Raises:
        SearchError: On entry, if another driver holds it (4), naming host and
            pid; if the storage cannot be reached or written (74).
    """

    def __init__(
        self,
        url: str,
        study: str,
        *,
        where: str = "",
        on_end: Callable[[], None] = lambda: None,
        renews: float = RENEW_SECONDS,
        lasts: float = EXPIRES_SECONDS,
    ) -> None:
        self._url = url
        self._study = study
        self._where = where
        self._on_end = on_end
        self._renews = renews
        self._lasts = lasts
        self._owner = Owner.here()
        self._engine: Engine | None = None
        self._over = threading.Event()
        self._away = False
        self._renewing = threading.Thread(target=self._renew_on, name="lease", daemon=True)
        self.stop = ""
        """Host from which this driver was asked to stop; empty when it was not."""
        self.lost: LeaseLost | None = None
        """Set when another driver has the study."""

    def __enter__(self) -> Lease:
        self._engine = write_engine(self._url)
        try:
            taken_by = Patience(_OPEN_SECONDS).keep_trying(self._take)
        except BaseException:
            self._engine.dispose()
            raise
        if taken_by is not None:
            self._engine.dispose()
            raise fail(
                f"study {self._study} is already running {taken_by}",
                fix="wait for it, take another --name, or end it: "
                f"search stop {self._study}{self._where}",
                status=Exit.CONFLICT,
            )
        self._renewing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._engine is not None
        self._over.set()
        self._renewing.join(_LET_GO_SECONDS)
        if not (self._away or self._renewing.is_alive()):
            try:
                with storage_faults(self._url), holder.writing(self._engine) as connection:
                    holder.leave(connection, self._study, self._owner.token)
            except SearchError:
                pass  # it is free as soon as this process has ended, or half a minute later
        self._engine.dispose()

    def check(self, session: orm.Session) -> None:
        """Let a transaction go on only while the study is held by this driver.

        Raises:
            LeaseLost: If it is not.
        """
        if not holder.owned(session, self._study, self._owner.token):
            self.lost = self.lost or self._loss(session.connection())
            raise self.lost

    def _take(self) -> holder.Holder | None:
        assert self._engine is not None
        with storage_faults(self._url):
            holder.make_table(self._engine)
            with holder.writing(self._engine) as connection:
                return holder.take(connection, self._study, self._owner, lasts=self._lasts)

    def _renew_on(self) -> None:
        told = False
        while not self._over.wait(self._renews):
            try:
                self._renew()
                self._away = False
            except LeaseLost as lost:
                if self.lost is None:  # else the driver knows
                    self.lost = lost
                    self._on_end()
                return
            except SearchError:
                # Others cannot reach it either. When it is back, it is seen who
                # was first; until then nothing can be written anyway.
                self._away = True
            if self.stop and not told:
                told = True
                self._on_end()

    def _renew(self) -> None:
        assert self._engine is not None
        with storage_faults(self._url), holder.writing(self._engine) as connection:
            if not holder.renew(connection, self._study, self._owner.token, lasts=self._lasts):
                raise self._loss(connection)
            now = holder.holder_in(connection, self._study)
            self.stop = now.stop if now is not None else ""

    def _loss(self, connection: sqlalchemy.Connection) -> LeaseLost:
        now = holder.holder_in(connection, self._study)
        fact = f"study {self._study} was taken over while this run stood still"
        fact += f" for more than {self._lasts:.0f} s: it is running {now}" if now else ""
        fix = f"nothing to do; search status {self._study}{self._where} shows how far it is"
        return LeaseLost([Problem(fact=fact, fix=fix)], Exit.CONFLICT)


def ask_to_stop(url: str, study: str, token: str) -> None:
    """Ask the holder of a lease to end, as SIGTERM does; it does so within seconds.

    Raises:
        SearchError: If the storage cannot be written (74).
    """

    def ask() -> None:
        with storage_faults(url), holder.writing(engine) as connection:
            holder.ask_to_stop(connection, study, token)

    engine = write_engine(url)
    try:
        Patience(_OPEN_SECONDS).keep_trying(ask)
    finally:
        engine.dispose()
