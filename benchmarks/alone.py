"""Trials in one process, without Ray: ours and the baseline's, in turns.

Prints one JSON object. CPU-seconds are those of this process and its children.

    python benchmarks/alone.py --folder DIR --image-size 96 --epochs 3 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

# What decodes images starts from this file again: torch is imported in main.
import work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="less of what depends on depth")
    parser.add_argument("--small", type=Path, help="a folder with a quarter of the images")
    arguments = parser.parse_args()
    import baseline
    import torch
    from sides import Ours, suffix_alone, timed

    from search.backbones.stages import BLOCKS

    torch.set_num_threads(1)
    given = work.Work(
        folder=arguments.folder, image_size=arguments.image_size, epochs=arguments.epochs
    )
    options = {
        "images": str(given.images), "weights": str(given.weights),
        "image_size": given.image_size, "epochs": given.epochs, "batch_size": 32, "plain": False,
    }  # fmt: skip
    trial = work.trials(1, (0,), seed=7)[0]
    ours = Ours(given.images, arguments.folder / "alone", given.epochs, given.image_size)
    found: dict[str, Any] = {}

    def both(name: str, depth: int, *, cold: bool) -> None:
        """Warm, ours is the mean of ten: one is a few of the hundredths that clocks count."""
        rows = []
        times = 1 if cold else 10
        for _ in range(arguments.repeats):
            if cold:
                ours.forget()
            mine = timed(lambda: [ours.train(replace(trial, depth=depth)) for _ in range(times)])
            mine /= times
            ours.reset()
            theirs = timed(lambda: list(baseline.epochs(options, replace(trial, depth=depth))))
            rows.append({"ours": mine, "baseline": theirs})
        found[name] = rows

    ours.train(replace(trial, depth=0))
    both("head only, store warm", 0, cold=False)
    both("first trial, depth 0, store cold", 0, cold=True)
    if not arguments.quick:
        both("first trial, depth 1, store cold", 1, cold=True)
    both("full unfreezing", 5, cold=True)
    throughput = []
    for depth in (1, 5) if arguments.quick else (1, 2, 5):
        for _ in range(arguments.repeats):
            if depth < len(BLOCKS):
                ours.train(replace(trial, depth=depth))  # the store is warm after it
            reports = ours.train(replace(trial, depth=depth))
            alone = suffix_alone(depth, given.image_size, 320)
            throughput.append(
                {
                    "depth": depth,
                    "ours": sorted(r.images_per_second for r in reports)[len(reports) // 2],
                    "alone": alone,
                }
            )
    found["throughput"] = throughput
    if arguments.small is not None:
        few = Ours(
            arguments.small / "images", arguments.folder / "few", given.epochs, given.image_size
        )
        rows = []
        for _ in range(arguments.repeats):
            few.forget()
            ours.forget()
            rows.append(
                {
                    "quarter": timed(lambda: few.train(replace(trial, depth=1))),
                    "whole": timed(lambda: ours.train(replace(trial, depth=1))),
                }
            )
        found["four times the images"] = rows
    print(json.dumps(found))


if __name__ == "__main__":
    main()
