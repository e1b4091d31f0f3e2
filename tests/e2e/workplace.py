"""A folder with images and a space file, and the real command in it.

Trials are tiny (32 px, a random mobilenet, a few images), so that faults are
cheap; nothing is replaced.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SPACE = """
study: {{name: {name}, seed: 1}}
data: {{path: images, split: {{val: 0.25, test: 0.25}}}}
epochs: {{min: 1, max: {epochs}}}
space:
  backbone: mobilenet_v3_small
  image_size: 32
  unfreeze_depth: {{int: [0, 1]}}
  lr: {{float: [1e-3, 1e-1], log: true}}
  augmentation: [none, light]
  batch_size: 8
weights: {{source: random}}
budget: {{trials: {trials}}}
resources: {{concurrency: 1}}
checkpoints: {{dir: studies, keep: 2}}
"""


@dataclass
class Workplace:
    """A folder with images and a space file, and the real command in it."""

    folder: Path
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def space(self, *, name: str = "tiny", trials: int = 3, epochs: int = 3) -> None:
        (self.folder / "tiny.yaml").write_text(
            SPACE.format(name=name, trials=trials, epochs=epochs), encoding="utf-8"
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if k != "SEARCH_STORAGE"},
            "SEARCH_CACHE": str(self.folder / "cache"),
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "search.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        return child

    def run(self, *arguments: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
        child = self.start(*arguments)
        out, err = child.communicate(timeout=timeout)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def search_json(self, *arguments: str) -> dict[str, Any]:
        done = self.run("run", "tiny.yaml", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def end_all(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                child.wait()


def draw_images(folder: Path, *, per_class: int = 16, size: int = 40) -> None:
    """Three classes that a mean colour tells apart, with noise, as PNG files."""
    rng = np.random.default_rng(0)
    for index, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = rng.integers(0, 120, (size, size, 3))
            pixels[..., 2 - index] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:03}.png")
