"""An address at which there is no Ray is refused within seconds, by its name."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from search.problems import Exit, SearchError
from search.tuning.address import chosen, probe


def refused(address: str) -> SearchError:
    began = time.monotonic()
    with pytest.raises(SearchError) as caught:
        probe(address)
    assert time.monotonic() - began < 10
    assert address in caught.value.problems[0].fact
    assert caught.value.problems[0].fix
    return caught.value


@pytest.fixture(params=["http", pytest.param("silent", marks=pytest.mark.slow), "hangs_up", "grpc"])
def listener(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """(what it does, its address) of a socket that is not Ray; ``grpc`` is like it."""
    answers = {
        "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "hangs_up": b"",
        "grpc": bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]),
    }
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            taken.append(connection)
            if request.param in answers:
                connection.recv(100)
                connection.sendall(answers[request.param])
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield request.param, f"127.0.0.1:{server.getsockname()[1]}"
    for connection in taken:
        connection.close()


def test_what_listens_but_is_not_ray_is_told_apart(listener: tuple[str, str]) -> None:
    kind, address = listener
    if kind == "grpc":
        probe(address)
        return
    error = refused(address)
    assert "is not Ray" in str(error)
    assert error.status is Exit.MISSING


def test_a_port_on_which_nothing_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refused(f"127.0.0.1:{port}")
    assert "Connection refused" in str(error)
    assert "leave --address out" in error.problems[0].fix
    assert error.status is Exit.MISSING


def test_a_name_that_nobody_knows_is_refused() -> None:
    assert "no machine is known by the name no-such-host.invalid" in str(
        refused("no-such-host.invalid:6379")
    )


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("head", "--address head:6379"),
        ("head:port", "--address HOST:6379, or auto"),
        (":6379", "--address HOST:6379, or auto"),
        ("head:99999", "--address HOST:6379, or auto"),
    ],
)
def test_what_is_no_address_is_a_usage_error_that_shows_one(address: str, fix: str) -> None:
    error = refused(address)
    assert error.status is Exit.USAGE
    assert error.problems[0].fix == fix


def test_auto_is_left_to_ray() -> None:
    probe("auto")


@pytest.mark.parametrize(
    ("flag", "env", "address"),
    [
        pytest.param(None, {}, None, id="this_machine"),
        pytest.param("auto", {}, "auto", id="flag"),
        pytest.param(None, {"RAY_ADDRESS": "10.0.0.1:6379"}, "10.0.0.1:6379", id="inside_a_job"),
        pytest.param(None, {"RAY_ADDRESS": "auto"}, "auto", id="inside_a_job_of_a_job"),
        pytest.param("head:6379", {"RAY_ADDRESS": "auto"}, "head:6379", id="flag_wins"),
        pytest.param("local", {"RAY_ADDRESS": "auto"}, None, id="local_wins"),
        pytest.param(None, {"RAY_ADDRESS": "local"}, None, id="local_by_ray"),
        pytest.param(None, {"RAY_ADDRESS": ""}, None, id="empty"),
    ],
)
def test_the_flag_wins_over_the_address_that_ray_sets(
    flag: str | None, env: dict[str, str], address: str | None
) -> None:
    assert chosen(flag, env) == address


def test_where_jobs_are_handed_in_is_no_cluster_to_join() -> None:
    with pytest.raises(SearchError, match="where jobs are handed in") as caught:
        chosen(None, {"RAY_ADDRESS": "http://me:secret@127.0.0.1:8265"})
    assert caught.value.status is Exit.USAGE
    assert "secret" not in str(caught.value)
