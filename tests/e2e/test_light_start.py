"""Commands that only read start fast: neither torch nor ray is imported.

The real entry point runs in a process of its own, and prints at its end which
modules it has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, sys
heavy = ("torch", "torchvision", "timm", "ray", "sklearn", "pandas", "scipy")
atexit.register(lambda: print("HEAVY", *(m for m in heavy if m in sys.modules), file=sys.stderr))
from search.cli.main import main
sys.argv[0] = "search"
main()
"""

SPACE = """\
data: {sample: solar-cells}
space:
  backbone: [efficientnet_lite0, resnet50]
  lr: {float: [3e-4, 3e-2], log: true}
budget: {trials: 12}
"""


def in_a_process(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    environment = {**os.environ, "SEARCH_CACHE": str(folder / "cache")}
    environment.pop("SEARCH_STORAGE", None)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["-h"], id="short_help"),
        pytest.param(["--version"], id="version"),
        pytest.param(["run", "--help"], id="run_help"),
        pytest.param(["plan", "space.yaml"], id="plan"),
        pytest.param(["status"], id="status"),
        pytest.param(["status", "--json"], id="status_json"),
        pytest.param(["cache"], id="cache"),
        pytest.param(["cache", "clear", "--json"], id="cache_clear"),
    ],
)
def test_neither_torch_nor_ray_is_imported(arguments: list[str], tmp_path: Path) -> None:
    done = in_a_process(arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr.splitlines()[-1].strip() == "HEAVY"
    # Reading commands leave nothing behind.
    assert [entry.name for entry in tmp_path.iterdir()] == ["space.yaml"]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_data_that_are_not_there_are_refused_before_anything_is_started(
    command: str, tmp_path: Path
) -> None:
    done = in_a_process([command, "space.yaml", "--data", "flowers"], tmp_path)
    assert done.returncode == 3
    assert f"error: data.path: {tmp_path}/flowers does not exist" in done.stderr
    assert "fix: --data FOLDER" in done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].strip() == "HEAVY"
    assert [entry.name for entry in tmp_path.iterdir()] == ["space.yaml"]
