"""Which process is meant by a pid: its machine, and when it was started.

A pid alone names nobody: another host has the same one, a container counts its
own, and a number is given again after its process died.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

_PROC = Path("/proc")


def this_machine() -> str:
    """Where pids mean the same as here: this boot of this host, and this container."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.stat(_PROC / 'self/ns/pid').st_ino}"
    except OSError:  # not Linux: no containers, and a restart ends every process
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def start_of(pid: int) -> str:
    """When a process of this machine was started, as text to be compared; empty
    where none runs under that pid (one that only waits to be reaped does not)."""
    try:
        # The name, in brackets, may hold spaces and brackets: count from its end.
        after = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2]
        state, start = after.split()[0], after.split()[19]
        return "" if state in "ZX" else start
    except (FileNotFoundError, ProcessLookupError):
        if (_PROC / "self/stat").exists():
            return ""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return ""
