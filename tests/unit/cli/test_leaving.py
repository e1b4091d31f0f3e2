"""A signal ends a process through its ``finally`` wherever it finds it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_CALLBACK = """
import signal, sys, time, weakref
from search.cli.leaving import leave_on

class Node:
    pass

def callback(_reference):
    signal.raise_signal({number})
    print("dropped", flush=True)  # the handler has run by now

leave_on(signal.SIGINT, signal.SIGTERM)
node = Node()
reference = weakref.ref(node, callback)
try:
    {act}
    time.sleep(30)
finally:
    print("cleaned up", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "act", ["del node", "signal.raise_signal(number)"], ids=["in_a_callback", "anywhere"]
)
def test_a_signal_is_not_lost_where_python_drops_what_its_handler_raises(
    number: signal.Signals, act: str
) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            _CALLBACK.format(number=int(number), act=act.replace("number", str(int(number)))),
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 128 + number
    assert "cleaned up" in ended.stdout
    assert ended.stderr == ""


def test_what_else_python_drops_is_said_as_ever() -> None:
    code = """
from search.cli.leaving import leave_on
import signal
class Node:
    def __del__(self):
        raise ValueError("broken")
leave_on(signal.SIGTERM)
Node()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert "ValueError: broken" in ended.stderr
