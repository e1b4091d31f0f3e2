"""Who may ask the dashboard for what."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.problems import Exit, SearchError
from search.space.spec import StudySpec
from search.study.dashboard import forward_line, server
from search.study.opening import StudyFacts, open_study
from search.study.records import Outcome, State
from search.study.views import list_studies

Specify = Callable[..., StudySpec]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, specify: Specify, facts: StudyFacts) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('dashboard')}/studies.db"
    recorder = open_study(url, specify(), facts)
    for value in (0.3, 0.6, 0.5):
        asked = recorder.ask()
        assert asked is not None
        recorder.report(asked.number, 1, value, {"metrics": {"loss": float("inf")}})
        recorder.settle(asked.number, Outcome(state=State.COMPLETE, why="last epoch"))
    recorder.close()
    return url


@contextmanager
def serving(url: str, port: int | None = 0) -> Iterator[str]:
    with server(url, port=port) as serves:
        threading.Thread(target=serves.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serves.server_port}"
        serves.shutdown()


@pytest.fixture(scope="module")
def base(url: str) -> Iterator[str]:
    """A dashboard of the study."""
    with serving(url) as address:
        yield address


def ask(
    address: str, *, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(address, method=method)
    if host is not None:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


@pytest.mark.slow
def test_pages_and_data_are_read_with_the_headers_that_keep_them_apart(base: str) -> None:
    status, headers, page = ask(f"{base}/dashboard")
    assert status == 200
    assert b"<html" in page
    loaded = re.findall(rb'(?:src|href)="([^"]*)"', page)
    assert loaded == [b"/static/bundle.js"]  # all that it loads is its own
    assert ask(f"{base}/static/bundle.js", method="HEAD")[0] == 200
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    studies = json.loads(ask(f"{base}/api/studies")[2])["study_summaries"]
    assert [study["study_name"] for study in studies] == ["study"]
    number = studies[0]["study_id"]
    assert ask(f"{base}/csv/{number}")[0] == 200


@pytest.mark.slow
def test_plots_are_drawn(base: str) -> None:
    (study,) = json.loads(ask(f"{base}/api/studies")[2])["study_summaries"]
    number = study["study_id"]
    for plot in ("contour", "slice", "parallel_coordinate", "rank", "edf", "timeline"):
        drawn = ask(f"{base}/api/studies/{number}/plot/{plot}")
        assert drawn[0] == 200, (plot, drawn[2])
    assert ask(f"{base}/api/studies/{number}/param_importances")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_writes_are_refused(url: str, base: str, method: str) -> None:
    assert ask(f"{base}/api/studies/1", method=method)[0] == 405
    assert len(list_studies(url)) == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:9999", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:80", 200),
        ("LOCALHOST", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("evil.example:localhost", 403),
        ("", 403),
    ],
)
def test_only_this_machines_names_are_answered(base: str, host: str, status: int) -> None:
    assert ask(f"{base}/api/studies", host=host)[0] == status


def test_it_listens_on_loopback_alone(url: str) -> None:
    with server(url, port=0) as serves:
        assert serves.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.slow
def test_a_taken_port_is_said_and_without_a_wish_the_next_one_is_used(url: str) -> None:
    with server(url) as first, server(url) as second:
        assert first.server_port != second.server_port
        with pytest.raises(SearchError, match=f"port {first.server_port} is taken") as caught:
            server(url, port=first.server_port)
        assert caught.value.status is Exit.USAGE
    with pytest.raises(SearchError, match="70000 is no port"):
        server(url, port=70_000)


def test_without_a_storage_it_says_how_to_get_one_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="no studies yet") as caught:
        server(f"sqlite:///{tmp_path}/none.db")
    assert caught.value.problems[0].fix == "search run spaces/quick.yaml"
    assert list(tmp_path.iterdir()) == []


def test_the_line_to_forward_is_there_over_ssh_alone() -> None:
    assert forward_line(8080, {}) == ""
    line = forward_line(8080, {"SSH_CONNECTION": "1 2 3 4", "USER": "ada"})
    assert line == f"ssh -N -L 8080:127.0.0.1:8080 ada@{socket.gethostname()}"
