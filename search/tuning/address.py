"""Whether anything like Ray listens at an address, found out within seconds.

Ray itself tries for a minute or more, and says nothing meanwhile. No ray here.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from search.problems import Exit, fail
from search.space.urls import shown

PROBE_SECONDS = 4.0
"""How long a connection, and then the first answer, may take."""
RAY_PORT = 6379
"""Where ``ray start --head`` listens unless told otherwise."""
START = "ray start --head on the head node, or leave --address out to use this machine"
"""What to type when there is no cluster."""
# RFC 9113, section 3.4: a client opens with this text and a SETTINGS frame, and the
# server's first frame is one, too (type 4). gRPC, which Ray speaks, is HTTP/2.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4


LOCAL = "local"
"""The ``--address`` that starts Ray on this machine, whatever ``RAY_ADDRESS`` says."""


def chosen(flag: str | None, env: Mapping[str, str]) -> str | None:
    """The cluster that is meant: ``--address``, else ``RAY_ADDRESS``, which Ray sets
    inside a job of a cluster; None starts Ray on this machine.

    Raises:
        SearchError: If ``RAY_ADDRESS`` is where jobs are handed in, not a cluster.
    """
    address = flag or env.get("RAY_ADDRESS", "").strip()
    if address in ("", LOCAL):
        return None
    if flag is None and address.startswith(("http://", "https://")):
        raise fail(
            f"RAY_ADDRESS is {shown(address)}, where jobs are handed in, not a cluster's address",
            fix="ray job submit -- search run ..., or --address local to use this machine",
        )
    return address


def probe(address: str, *, encrypted: bool = False) -> None:
    """Return when something at ``host:port`` answers as a gRPC server does.

    Args:
        address: As ``--address`` takes it; ``auto`` is left to Ray.
        encrypted: The cluster uses TLS, so that the answer cannot be read.

    Raises:
        SearchError: USAGE if it is no address, MISSING if there is no Ray.
    """
    if address == "auto":
        return
    host, port = _parts(address)
    try:
        with socket.create_connection((host, port), timeout=PROBE_SECONDS) as connection:
            if not encrypted and not _greets(connection):
                raise fail(
                    f"what listens at {address} is not Ray",
                    fix=f"--address {host}:{RAY_PORT}, the port that ray start --head printed",
                    status=Exit.MISSING,
                )
    except socket.gaierror:
        raise fail(
            f"--address {address}: no machine is known by the name {host}",
            fix=f"--address IP:{port}, the address that ray start --head printed",
            status=Exit.MISSING,
        ) from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise fail(
            f"no Ray cluster answers at {address}: {why}", fix=START, status=Exit.MISSING
        ) from None


def _parts(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[::1]:port`` or ``ray://host:port``."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon and port:
        raise fail(f"--address {address} names no port", fix=f"--address {address}:{RAY_PORT}")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise fail(
            f"--address {address} is not HOST:PORT", fix=f"--address HOST:{RAY_PORT}, or auto"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _greets(connection: socket.socket) -> bool:
    """Whether the other side begins to speak HTTP/2."""
    connection.settimeout(PROBE_SECONDS)
    answer = b""
    try:
        connection.sendall(_GREETING)
        while len(answer) < 4:
            part = connection.recv(9)
            if not part:
                return False
            answer += part
    except OSError:
        return False
    return answer[3] == _SETTINGS
