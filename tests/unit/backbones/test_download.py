"""Downloads up to the wire: a real server on the loopback address."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from search.backbones.availability import Located, weights_folder
from search.backbones.catalogue import CATALOGUE
from search.backbones.download import check, download, fetch, weights_hash
from search.backbones.info import BackboneInfo
from search.problems import Exit, SearchError
from search.space.spec import WeightsFile, WeightsSpec

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """/whole, /short (breaks off), /silent (stops), /slow (drips), /hub/DIGEST (states
    a digest and sends on to /whole, as Hugging Face's hub does), else 404."""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        if kind == "gone":
            self.send_error(404)
            return
        if kind == "hub":
            self.send_response(302)
            self.send_header("X-Linked-Etag", f'"{self.path.split("/")[2]}"')
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(10**18 if kind == "huge" else len(CONTENT)))
        self.end_headers()
        try:
            if kind == "whole":
                self.wfile.write(CONTENT)
            elif kind == "slow":
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.02)
            else:
                self.wfile.write(CONTENT[:1000])
                self.wfile.flush()
                if kind == "silent":
                    time.sleep(1.0)
        except ConnectionError:
            pass

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


def info(url: str, prefix: str = SHA256[:8]) -> BackboneInfo:
    return replace(CATALOGUE["resnet18"], url=f"{url}/net-{prefix}.pth", sha256_prefix=prefix)


def quiet(name: str, done: int, total: int) -> None:
    pass


def failure(tmp_path: Path, row: BackboneInfo, **limits: float) -> str:
    with pytest.raises(SearchError) as raised:
        download(row, tmp_path, quiet, **limits)
    assert raised.value.status is Exit.MISSING
    (problem,) = raised.value.problems
    assert problem.fix
    assert list(weights_folder(tmp_path).iterdir()) == []
    return problem.fact


def test_a_verified_file_lands_whole_with_progress(tmp_path: Path, server: str) -> None:
    seen: list[tuple[str, int, int]] = []
    located = download(info(f"{server}/whole"), tmp_path, lambda *progress: seen.append(progress))
    assert located.path == tmp_path / "weights" / f"net-{SHA256[:8]}.pth"
    assert located.path.read_bytes() == CONTENT
    assert weights_hash(located) == SHA256
    assert seen[0] == ("resnet18", 0, len(CONTENT))
    assert seen[-1] == ("resnet18", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert len(list(located.path.parent.iterdir())) == 1


def test_a_wrong_hash_is_told_apart_and_leaves_nothing(tmp_path: Path, server: str) -> None:
    fact = failure(tmp_path, info(f"{server}/whole", "00000000"))
    assert f"has the sha256 {SHA256[:12]}..., not 00000000..." in fact


def hub_info(url: str) -> BackboneInfo:
    return replace(CATALOGUE["timm:resnet18.a1_in1k"], url=url)


def test_a_file_of_timms_has_the_digest_that_the_hub_states(tmp_path: Path, server: str) -> None:
    located = download(hub_info(f"{server}/hub/{SHA256}/model.safetensors"), tmp_path, quiet)
    assert located.path == tmp_path / "weights" / "resnet18.a1_in1k.safetensors"
    assert located.path.read_bytes() == CONTENT


def test_a_file_of_timms_is_checked_against_that_digest_again(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = hub_info(f"{server}/hub/{SHA256}/model.safetensors")
    monkeypatch.setattr("search.backbones.download.chosen", lambda name, spec: row)
    located = download(row, tmp_path, quiet)
    assert located.sha256 == SHA256
    check(located)
    assert located.path is not None
    located.path.write_bytes(b"<html>")
    with pytest.raises(SearchError, match="is damaged"):
        check(located)
    again = fetch(row.name, WeightsSpec(), tmp_path, quiet)
    assert again == located
    assert located.path.read_bytes() == CONTENT


def test_a_file_of_timms_whose_digest_nobody_states_is_refused(tmp_path: Path, server: str) -> None:
    # A network's log-in page answers 200 with a page of its own.
    fact = failure(tmp_path, hub_info(f"{server}/whole/model.safetensors"))
    assert "states no sha256" in fact


def test_a_file_of_timms_with_another_digest_is_refused(tmp_path: Path, server: str) -> None:
    fact = failure(tmp_path, hub_info(f"{server}/hub/{'0' * 64}/model.safetensors"))
    assert f"has the sha256 {SHA256[:12]}..., not 000000000000..." in fact


def test_no_network_is_told_apart(tmp_path: Path, server: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fact = failure(tmp_path, info(f"http://127.0.0.1:{port}"))
    assert fact.startswith("resnet18: no network: ")


def test_a_host_that_is_unknown_is_no_network(tmp_path: Path, server: str) -> None:
    assert "no network" in failure(tmp_path, info("http://host.invalid"))


@pytest.mark.parametrize(
    ("path", "fact"),
    [
        pytest.param("gone", "the server answered 404", id="no_such_file"),
        pytest.param("short", "broke off, 1,023,000 bytes before its end", id="broken_off"),
        pytest.param("huge", "1,000,000,000,000,000,000 bytes to download", id="disk_too_small"),
    ],
)
def test_what_else_goes_wrong_is_told_apart(
    tmp_path: Path, server: str, path: str, fact: str
) -> None:
    assert fact in failure(tmp_path, info(f"{server}/{path}"))


@pytest.mark.slow
def test_a_silent_and_a_dripping_server_are_given_up(tmp_path: Path, server: str) -> None:
    started = time.monotonic()
    assert "broke off" in failure(tmp_path, info(f"{server}/silent"), silence=0.2)
    assert "not complete after 0.2 s" in failure(tmp_path, info(f"{server}/slow"), limit=0.2)
    assert time.monotonic() - started < 1.5


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, server: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError, match="cannot be written to"):
        download(info(f"{server}/whole"), tmp_path / "file", quiet)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str) -> Path:
    """A catalogue whose resnet18 is downloaded from the test's server."""
    row = info(f"{server}/whole")
    catalogue = dict(CATALOGUE) | {"resnet18": row}
    monkeypatch.setattr("search.backbones.catalogue.CATALOGUE", catalogue)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints" / f"net-{SHA256[:8]}.pth"


def test_fetch_downloads_once(tmp_path: Path, served: Path) -> None:
    calls: list[int] = []
    for _ in range(2):
        located = fetch(
            "resnet18", WeightsSpec(), tmp_path, lambda name, done, total: calls.append(done)
        )
        assert located.path is not None
        assert located.path.read_bytes() == CONTENT
    assert calls.count(0) == 1


@pytest.mark.parametrize("where", ["ours", "torch_hub"])
def test_fetch_replaces_a_damaged_download(tmp_path: Path, served: Path, where: str) -> None:
    damaged = served if where == "torch_hub" else weights_folder(tmp_path) / served.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    located = fetch("resnet18", WeightsSpec(), tmp_path, quiet)
    assert isinstance(located, Located)
    assert located.path == weights_folder(tmp_path) / served.name
    assert located.path.read_bytes() == CONTENT


def test_fetch_takes_what_torchvision_has_downloaded(tmp_path: Path, served: Path) -> None:
    served.parent.mkdir(parents=True)
    served.write_bytes(CONTENT)
    assert fetch("resnet18", WeightsSpec(), tmp_path, quiet).path == served
    assert not weights_folder(tmp_path).exists()


def test_fetch_needs_no_network_for_packages_and_random_weights(tmp_path: Path) -> None:
    lite = fetch("efficientnet_lite0", WeightsSpec(), tmp_path, quiet)
    assert lite.path is not None
    assert fetch("vit_b_16", WeightsSpec(source="random"), tmp_path, quiet).path is None


def test_fetch_never_replaces_a_file_of_the_users(tmp_path: Path) -> None:
    spec = WeightsSpec(files=(("resnet18", WeightsFile(file=str(tmp_path / "gone.pth"))),))
    with pytest.raises(SearchError, match=r"gone\.pth") as raised:
        fetch("resnet18", spec, tmp_path, quiet)
    assert raised.value.status is Exit.MISSING  # what `unavailable: skip` leaves out


def test_fetch_downloads_the_weights_that_a_tag_names(
    tmp_path: Path, server: str, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = CATALOGUE["resnet50"]
    (other,) = known.alternatives
    mine = replace(other, url=f"{server}/whole/v1-{SHA256[:8]}.pth", sha256_prefix=SHA256[:8])
    catalogue = dict(CATALOGUE) | {"resnet50": replace(known, alternatives=(mine,))}
    monkeypatch.setattr("search.backbones.catalogue.CATALOGUE", catalogue)
    located = fetch("resnet50", WeightsSpec(tags=(("resnet50", other.tag),)), tmp_path, quiet)
    assert located.path == tmp_path / "weights" / f"v1-{SHA256[:8]}.pth"
    assert located.preprocessing == other.preprocessing
