"""Put on PYTHONPATH by the fault harness: counts the writes of one run, and ends it there.

Python imports this at the start of the command and of every process that it starts.
A *point* is a moment just before a write below ``FAULTS_ROOT``: a file opened for
writing, renamed or removed, a folder made, a transaction committed, a table made. Points are
named by what is written, so that the run after a crash finds the same ones.
Without ``FAULTS_ROOT`` it does nothing. The product never reads these variables.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading

ROOT = os.environ.get("FAULTS_ROOT", "")
LEDGER = os.environ.get("FAULTS_LEDGER", "")
"""File of every point that was passed, over all runs."""
CRASHES = os.environ.get("FAULTS_CRASHES", "")
"""File of the points at which a run was ended."""
WANTED = os.environ.get("FAULTS_WANTED", "")
"""File of the points at which to end it, each once; none only counts."""

ROLES = (
    ("search.cli.main", "driver"),
    ("search.cli.prepare", "prepare"),
    ("search.cli.finish", "finish"),
    ("search/cli/finish.py", "finish"),  # a fork of the workers' server, too
    ("default_worker", "worker"),
    ("search.tuning.forkserver", "worker"),  # workers are forks of it
    ("multiprocessing.spawn", "prepare"),
)
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
_WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER")
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_lock = threading.RLock()


def role() -> str:
    line = " ".join([*sys.orig_argv, *getattr(sys, "argv", ())])
    return next((name for text, name in ROLES if text in line), "")


def lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def append(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text + "\n")


def reached(what: str) -> None:
    """A write is about to be made: end the run here, or note that it was passed."""
    with _lock:
        label = f"{role()}: {what}"
        passed = lines(LEDGER)
        point = f"{label} ({sum(line.rsplit(' (', 1)[0] == label for line in passed) + 1})"
        if WANTED and point in lines(WANTED) and point not in lines(CRASHES):
            append(CRASHES, point)
            os.kill(int(os.environ["FAULTS_DRIVER"]), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        append(LEDGER, point)


def named(path: object) -> str | None:
    """A path below the root without what differs from run to run; None elsewhere."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return None
    text = os.path.abspath(os.fsdecode(path))
    if not text.startswith(ROOT + os.sep):
        return None
    below = text[len(ROOT) + 1 :]
    below = re.sub(r"(?<=[._-])\d+(?=\.(part|tmp))", "PID", below)
    below = re.sub(r"\.[\w-]*?\d+-[0-9a-f]{8}(?=/|\.tmp|$)", ".PID", below)
    return re.sub(r"(?<![a-z])[0-9a-f]{12,}|(?<=tmp)[a-z0-9_]{8}", "HASH", below)


def watch_files(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _FLAGS:
            place = named(path)
            if place is not None:
                reached(f"write {place}")
    elif event in _CHANGES:
        place = named(arguments[event in ("os.rename", "os.link")])
        if place is not None and not (event == "os.mkdir" and os.path.isdir(str(arguments[0]))):
            reached(f"{event.removeprefix('os.')} {place}")


def watch_transactions() -> None:
    import sqlalchemy

    def executed(
        connection: sqlalchemy.Connection,
        cursor: object,
        statement: str,
        parameters: object,
        context: object,
        many: bool,
    ) -> None:
        if statement.lstrip().upper().startswith(_WRITES):
            words = statement.split()
            if words[0] == "CREATE":  # SQLite commits each of them by itself
                reached(" ".join(words[:3]))
            else:
                name = words[1] if words[0] == "UPDATE" else words[2]
                connection.info.setdefault("writes", []).append(summary(name, parameters))

    def commit(connection: sqlalchemy.Connection) -> None:
        writes = connection.info.pop("writes", [])
        if writes:
            reached("commit " + "; ".join(dict.fromkeys(writes)))

    def rollback(connection: sqlalchemy.Connection) -> None:
        connection.info.pop("writes", None)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", executed)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", commit)
    sqlalchemy.event.listen(sqlalchemy.Engine, "rollback", rollback)


def summary(table: str, parameters: object) -> str:
    """A statement's table, whole numbers and names: what tells it from the others."""
    rows = parameters if isinstance(parameters, list) else [parameters]
    parts = [
        "PID" if part == os.getpid() else str(part)
        for row in rows
        if isinstance(row, tuple)
        for part in row
        if isinstance(part, int) or (isinstance(part, str) and re.fullmatch(r"[A-Za-z_:]+", part))
    ]
    return f"{table}[{','.join(parts)}]"


_role = role() if ROOT else ""
if _role:
    if _role == "driver":
        os.environ["FAULTS_DRIVER"] = str(os.getpid())
        watch_transactions()
    sys.addaudithook(watch_files)
