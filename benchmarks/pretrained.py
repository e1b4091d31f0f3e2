"""What pretrained weights are worth: the same search with and without them.

Runs the real command on several splits, once with pretrained and once with
random weights, and prints test figures side by side. Needs the extra `demo`.

    python benchmarks/pretrained.py --splits 3
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def search(
    space: Path, folder: Path, *, source: str, split: int, images: int | None
) -> dict[str, Any]:
    """One search through the real command; its JSON document."""
    command = [
        sys.executable, "-m", "search.cli.main", "run", str(space.absolute()), "--json",
        "--name", f"{source}-{split}",
        "--set", f"data.split.seed={split}",
        "--set", f"weights.source={source}",
        "--minutes", "60",
    ]  # fmt: skip
    if images is not None:
        command += ["--set", f"data.max_images={images}"]
    environment = {name: value for name, value in os.environ.items() if name != "SEARCH_STORAGE"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", type=Path, default=Path("benchmarks/solar-128.yaml"))
    parser.add_argument("--images", type=int, default=None)
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_args()
    metric = "balanced_accuracy"
    print("split  pretrained  random  difference  minus linear probe (95 % interval)  minutes")
    with tempfile.TemporaryDirectory() as folder:
        for split in range(options.splits):
            found = {
                source: search(
                    options.space, Path(folder), source=source, split=split, images=options.images
                )
                for source in ("pretrained", "random")
            }
            values = {source: each["best"]["test"][metric] for source, each in found.items()}
            probe = found["pretrained"]["baselines"]["linear_probe"]["difference"]
            minutes = sum(each["seconds"] for each in found.values()) / 60
            print(
                f"{split:5}  {values['pretrained']:10.3f}  {values['random']:6.3f}"
                f"  {values['pretrained'] - values['random']:+10.3f}"
                f"  {json.dumps(probe)}  {minutes:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
