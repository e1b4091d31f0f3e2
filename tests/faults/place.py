"""A folder with images and a space file, the real command in it, and what it showed.

Every start carries a mark in its environment, so that each process that it leaves
behind is known as its own. What it prints is written down line by line as it
is read: the acknowledgements, by which the database is judged afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

from tests.e2e.workplace import draw_images

SPACE = """\
study: {{name: tiny, seed: 1}}
data: {{path: images, split: {{val: 0.25, test: 0.25}}}}
objective: {objective}
epochs: {{min: 1, max: {epochs}}}
space:
  backbone: mobilenet_v3_small
  image_size: 32
  unfreeze_depth: {{int: [0, 1]}}
  lr: {{float: [1e-3, 1e-1], log: true}}
  augmentation: [none, light]
  batch_size: 8
scheduler: {{name: {scheduler}}}
weights: {{source: random}}
budget: {{trials: {trials}}}
resources: {{concurrency: {concurrency}}}
checkpoints: {{dir: studies, keep: 2}}
"""
MARK = "FAULTS_MARK"
IDLE = (
    *("ray::DashboardA", "ray::RuntimeEnvA", "ray::IDLE"),
    *("ray/dashboard/agent.py", "runtime_env/agent/main.py", "workers/default_worker.py"),
    *("--worker-launch-time", "search.tuning.forkserver"),
)
"""Of Ray's processes those that train nothing and write nothing of ours: a node's two
agents, and workers that have no task yet (titles, and command lines before they have one)."""


@dataclass
class Start:
    """One start of the command: its process, and the lines that it has shown so far."""

    mark: str
    process: subprocess.Popen[str]
    acknowledged: Path
    errors: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._seen: list[psutil.Process] = []
        self.gone_after = 0.0
        """Seconds after which only what is idle was left; see :meth:`left_after`."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.acknowledged.open("a", encoding="utf-8") as file:
            for line in self.process.stdout:
                file.write(line)
                file.flush()
                self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def error_text(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str, *, seconds: float = 120.0, count: int = 1) -> bool:
        """Whether so many lines that match are shown before it ends or time is up."""
        until = time.monotonic() + seconds
        wanted = re.compile(pattern)
        while sum(bool(wanted.search(line)) for line in list(self.lines)) < count:
            if time.monotonic() > until or self.process.poll() is not None:
                return sum(bool(wanted.search(line)) for line in list(self.lines)) >= count
            time.sleep(0.02)
        return True

    def wait(self, *, seconds: float = 240.0) -> int:
        """The exit status; everything that was printed is read by then."""
        status = self.process.wait(timeout=seconds)
        self._reader.join(10.0)
        return status

    def send(self, number: int) -> None:
        """Send a signal to the driver alone, if it lives."""
        self._seen = self.below() or self._seen
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """``kill -9`` of the driver alone."""
        self.send(signal.SIGKILL)
        self.process.wait()
        self._reader.join(1.0)

    def below(self) -> list[psutil.Process]:
        """What the command has started, and what these have; while it lives."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def family(self) -> list[psutil.Process]:
        """Every live process of this start: those that were seen below it before it was
        killed (Ray's workers write over their environment), and those with its mark."""
        found = [each for each in self._seen if each.is_running() and not _is_zombie(each)]
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and not _is_zombie(process):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return list(dict.fromkeys(found))

    def left_after(self, seconds: float, *, idle: float | None = None) -> list[str]:
        """The names of its processes that still live after so long; they are ended then.

        Args:
            seconds: That all may take.
            idle: That Ray's idle processes may take, where that is longer: when their
                driver is killed, they wait a minute for a cluster that is gone.
        """
        began = time.monotonic()
        while living := {each: name for each in self.family() if (name := _name(each))}:
            passed = time.monotonic() - began
            late = [name for name in living.values() if not (idle and _is_idle(name))]
            if late:
                self.gone_after = passed
            if passed > (seconds if late else idle or seconds):
                break
            time.sleep(0.5)
        for process in living:
            try:
                process.kill()
            except psutil.Error:
                continue
        return [name[-160:] for name in living.values()]


def _name(process: psutil.Process) -> str:
    """Its command line, or the title that it gave itself, as Ray's workers do; empty
    when it has ended."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _is_idle(name: str) -> bool:
    return any(text in name for text in IDLE)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@dataclass
class Place:
    """Where one study of the harness lives. Made ready on construction."""

    folder: Path
    storage: str | None = None
    """A database URL; None is the file that a space without one gets."""
    trials: int = 3
    epochs: int = 2
    concurrency: int = 1
    objective: str = "loss"
    scheduler: str = "asha"
    starts: list[Start] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        draw_images(self.folder / "images")
        self.write_space()

    def write_space(self) -> None:
        text = SPACE.format(
            objective=self.objective,
            epochs=self.epochs,
            scheduler=self.scheduler,
            trials=self.trials,
            concurrency=self.concurrency,
        )
        (self.folder / "tiny.yaml").write_text(text, encoding="utf-8")

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{self.folder / 'studies' / 'studies.db'}"

    @property
    def study(self) -> Path:
        return self.folder / "studies" / "tiny"

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Start:
        """Start ``search ARGUMENTS`` here."""
        mark = uuid4().hex
        number = len(self.starts)
        errors = self.folder / f"errors-{number:02}.txt"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SEARCH_", "FAULTS_"))},
            "SEARCH_CACHE": str(self.folder / "cache"),
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            MARK: mark,
            **(env or {}),
        }
        if self.storage is not None:
            environment["SEARCH_STORAGE"] = self.storage
        with errors.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "search.cli.main", *arguments],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        started = Start(
            mark=mark,
            process=process,
            acknowledged=self.folder / f"acknowledged-{number:02}.txt",
            errors=errors,
        )
        self.starts.append(started)
        return started

    def run(self, *more: str) -> Start:
        """Start ``search run tiny.yaml``: the same command every time."""
        return self.start("run", "tiny.yaml", *more)

    def end_all(self) -> None:
        for started in self.starts:
            if started.process.poll() is None:
                started.kill()
