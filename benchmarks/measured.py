"""A command with all its processes: CPU-seconds, wall, memory, and when each line came.

Linux only. This process becomes the reaper of everything that the command leaves
behind (Ray's daemons detach), so that all of it can be found below this process.
What a process used is read ten times a second, unless the caller wants fewer looks:
Ray's daemon throws away the sums of the workers that it ends, so the kernel's own total
misses them. A process loses its last tenth of a second at most, on every side alike.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run."""

    wall: float
    """Seconds."""
    cpu: float
    """User and system seconds of all processes, to their end."""
    cpu_by_command: dict[str, float]
    """The same by what ran."""
    peak_mb: float
    """Largest sum of PSS over all processes, pages of stores left out, 2**20 bytes."""
    lines: tuple[tuple[float, str], ...]
    """(seconds since the start, line) of stdout and stderr."""


def run(
    command: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    stores: Sequence[str] = (),
    memory: bool = False,
    every: float = 0.1,
) -> Measured:
    """Run a command to its end, and until nothing that it started is left.

    Args:
        command: What to run.
        folder: Current folder of the command.
        env: Its environment.
        stores: Pages mapped from files under these paths are not counted.
        memory: Whether to look at memory, about every second.
        every: Seconds between two looks at what was used; a look takes some milliseconds
            of the same cores.

    Raises:
        RuntimeError: If it fails; with the end of what it printed.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[tuple[float, str]] = []
    used: dict[tuple[int, str], tuple[float, str]] = {}
    peak = [0.0]
    done = threading.Event()

    def watch() -> None:
        looks = 0
        while not done.wait(every):
            tree = _tree(os.getpid())
            for pid in tree:
                _look(pid, used)
            looks += 1
            if memory and looks % max(1, round(1 / every)) == 0:
                peak[0] = max(peak[0], sum(_pss(pid, stores) for pid in tree))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert process.stdout is not None
    # Each line is stamped as it comes.
    lines.extend((time.perf_counter() - began, line.rstrip("\n")) for line in process.stdout)
    status = process.wait()
    wall = time.perf_counter() - began
    _reap()
    done.set()
    watcher.join()
    if status != 0:
        end = "\n".join(line for _, line in lines[-30:])
        raise RuntimeError(f"{' '.join(command)} ended with {status}:\n{end}")
    by_command: dict[str, float] = {}
    for seconds, name in used.values():
        by_command[name] = by_command.get(name, 0.0) + seconds
    return Measured(
        wall=wall,
        cpu=sum(by_command.values()),
        cpu_by_command=by_command,
        peak_mb=peak[0],
        lines=tuple(lines),
    )


def _look(pid: int, used: dict[tuple[int, str], tuple[float, str]]) -> None:
    """Note what a process has used so far."""
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        key = (pid, fields[19])
        if key in used and used[key][0] == seconds:
            return
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        name = " ".join(Path(word).name for word in words[:3])[:60]
        used[key] = (seconds, name or used.get(key, (0.0, "?"))[1])


def _reap() -> None:
    """Wait for all that became ours; at most half a minute."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.05)


def _tree(root: int) -> list[int]:
    """All descendants of a process, itself left out."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                text = (entry / "stat").read_text()
                parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(
                    int(entry.name)
                )
    found, left = [], [root]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _pss(pid: int, stores: Sequence[str]) -> float:
    """Proportional set size, 2**20 bytes, without pages of the stores' files."""
    total, counted = 0, True
    try:
        with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line[0] in "0123456789abcdef" and "-" in line.split(" ", 1)[0]:
                    counted = not any(store in line for store in stores)
                elif counted and line.startswith("Pss:"):
                    total += int(line.split()[1])
    except OSError:
        return 0.0
    return total / 1024
