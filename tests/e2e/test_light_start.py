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
    ],
)
def test_neither_torch_nor_ray_is_imported(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf-8")
    environment = {**os.environ, "SEARCH_CACHE": str(tmp_path / "cache")}
    environment.pop("SEARCH_STORAGE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr.splitlines()[-1].strip() == "HEAVY"
    # Reading commands leave nothing behind.
    assert [entry.name for entry in tmp_path.iterdir()] == ["space.yaml"]
