"""Workers as forks of one process that has imported torch and Ray."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from search.tuning.forkserver import forkserver

pytestmark = [
    pytest.mark.slow,  # each server imports torch
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks on Linux only"),
]
PROGRAM = """
import json, os, sys
json.dump({
    "arguments": sys.argv[1:], "parent": os.getppid(), "leads": os.getpgrp() == os.getpid(),
    "torch": "torch" in sys.modules, "timm": "timm" in sys.modules,
    "compiler": any(name.startswith(("triton.", "sympy.")) for name in sys.modules),
    "folder": os.getcwd(), "mine": os.environ.get("MINE"),
}, sys.stdout)
print("oops", file=sys.stderr)
"""


def ask(python: str, script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start ``script`` as Ray starts a worker, until its output ends."""
    return subprocess.run(
        ["bash", "-c", f"exec {python} {shlex.join([str(script), *arguments])}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=script.parent,
        env=os.environ | {"MINE": "a value; 'quoted'"},
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "a program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def test_a_fork_has_torch_and_everything_that_the_request_named(script: Path) -> None:
    with forkserver(["timm", "no_such_library"]) as python:
        assert python is not None
        done = ask(python, script, "--one", "2 3")
        again = ask(python, script)
    found = json.loads(done.stdout)
    assert found["arguments"] == ["--one", "2 3"]
    assert found["folder"] == str(script.parent)
    assert found["mine"] == "a value; 'quoted'"
    assert found["torch"]
    assert found["timm"]
    assert not found["compiler"]
    assert found["leads"]
    assert found["parent"] == json.loads(again.stdout)["parent"]
    assert done.stderr == "oops\n"


def test_without_a_server_python_is_started_as_ray_would(script: Path) -> None:
    with forkserver() as python:
        assert python is not None
    done = ask(python, script, "x")
    found = json.loads(done.stdout)
    assert found["arguments"] == ["x"]
    assert not found["torch"]
    assert done.stderr == "oops\n"


def test_a_request_that_is_no_request_does_not_stop_the_server(script: Path) -> None:
    with forkserver() as python:
        assert python is not None
        for message in (b"", b".", b".{", b".{}", b".[]"):
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(shlex.split(python)[-1])
                server.sendall(message)
                server.shutdown(socket.SHUT_WR)
                assert not server.recv(1)
        assert json.loads(ask(python, script).stdout)["torch"]


def test_forks_that_are_still_there_at_the_end_are_ended(tmp_path: Path) -> None:
    script = tmp_path / "sleeps.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    with forkserver() as python:
        assert python is not None
        asked = subprocess.Popen(
            ["bash", "-c", f"exec {python} {shlex.quote(str(script))}"], stdout=subprocess.PIPE
        )
        assert asked.stdout is not None
        fork = psutil.Process(int(asked.stdout.readline()))
        assert asked.wait(60) == 0
    gone, _ = psutil.wait_procs([fork], timeout=10)
    assert gone


def test_the_server_ends_and_leaves_nothing_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from search.tuning.forkserver import forkserver\n"
            "with forkserver() as python:\n"
            "    print(python, flush=True)\n"
            "    time.sleep(600)\n",
        ],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert owner.stdout is not None
    assert owner.stdout.readline()
    (server,) = psutil.Process(owner.pid).children()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    deadline = time.monotonic() + 30
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not list(tmp_path.glob("search-fork-*"))


def test_a_folder_whose_name_is_too_long_for_a_socket_means_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with forkserver() as python:
        assert python is None
    assert not list(deep.iterdir())
