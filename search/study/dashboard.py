"""The Optuna dashboard over a study's storage: read-only, on loopback.

The stock application has no login and no Host check: any page open in the same
browser could delete a study through it. Here the storage is opened so that it
refuses writes, and a wrapper lets only reads from this machine's names pass.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any, BinaryIO, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.problems import fail
from search.study.artifacts import StudyFiles
from search.study.storage import connect_read_only, redact

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

PORT = 8080
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OTHER_PORT = "search dashboard --port N, N from 1024 to 65535"
_TRIED = 20
"""Ports after the wanted one that are tried when it is taken."""


def guarded(application: Application, hosts: tuple[str, ...] = _LOOPBACK) -> Application:
    """An application that answers only reads, and only under known names.

    A write gets 405; a Host that is not in ``hosts`` gets 403 (a foreign page
    that resolves its own name to this machine is refused, DNS rebinding).
    """

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if _name(environ.get("HTTP_HOST", "").lower()) not in hosts:
            return _refuse(start_response, "403 Forbidden", "unknown Host\n")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start_response, "405 Method Not Allowed", "read-only\n")

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            extra = [
                ("X-Frame-Options", "DENY"),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
            ]
            # Optuna lets any page read artifacts; here no other page reads anything.
            own = [each for each in headers if each[0].lower() != "access-control-allow-origin"]
            return start_response(status, [*own, *extra], *rest)

        return application(environ, start)

    return answer


def application(url: str) -> Application:
    """The guarded dashboard of a storage.

    Raises:
        SearchError: If there is no such storage yet, or it cannot be opened.
    """
    storage = connect_read_only(url)
    if storage is None:
        raise fail(f"no studies yet in {redact(url)}", fix="search run spaces/quick.yaml")
    import optuna_dashboard

    return guarded(optuna_dashboard.wsgi(storage, artifact_store=_Served(storage)))


def server(url: str, *, port: int | None = None) -> WSGIServer:
    """A server of the dashboard on loopback, bound but not yet serving.

    Args:
        url: The storage.
        port: Wanted; None takes 8080 or the next one that is free.

    Raises:
        SearchError: If the port cannot be had, or there is no storage yet (2).
    """
    app = application(url)
    ports = [port] if port is not None else list(range(PORT, PORT + _TRIED))
    for candidate in ports:
        try:
            return make_server(
                "127.0.0.1", candidate, app, server_class=_Server, handler_class=_Quiet
            )
        except PermissionError:
            raise fail(f"port {candidate} is not allowed here", fix=_OTHER_PORT) from None
        except OverflowError:
            raise fail(f"{candidate} is no port", fix=_OTHER_PORT) from None
        except OSError:
            continue
    taken = f"port {port} is" if port is not None else f"ports {ports[0]} to {ports[-1]} are"
    raise fail(f"{taken} taken", fix=_OTHER_PORT)


def forward_line(port: int, env: Mapping[str, str] = os.environ) -> str:
    """What to type on one's own machine over SSH; empty when this is no SSH session."""
    if "SSH_CONNECTION" not in env:
        return ""
    user = env.get("USER", "")
    host = socket.gethostname()
    return f"ssh -N -L {port}:127.0.0.1:{port} {f'{user}@' if user else ''}{host}"


class _Served(StudyFiles):
    """Files that are not on this machine are not found, as any page; no fault of ours."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        from bottle import HTTPError
        from optuna.artifacts.exceptions import ArtifactNotFound

        try:
            return super().open_reader(artifact_id)
        except ArtifactNotFound:
            raise HTTPError(404, "no such file on this machine") from None


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request; none outlives the process."""

    daemon_threads = True
    allow_reuse_address = True


class _Quiet(WSGIRequestHandler):
    """No line for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _name(host: str) -> str:
    """The name in a Host header, without its port: ``[::1]:80`` is ``::1``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _refuse(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]
