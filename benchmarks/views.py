"""What fewer views cost: the same trials with 1, 2, 4 and all views, over five splits.

A view is one augmented version of an image; epoch e uses view e mod ``views``. Fewer
views are fewer activations to compute and to store. Test balanced accuracy of the
best epoch, mean over trials; trials train without Ray, with the store.

    python benchmarks/views.py --splits 5
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import work


def main() -> None:
    import torch
    from sides import Ours, timed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--image-size", type=int, default=96)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    choices = sorted({1, 2, 4, arguments.epochs})
    points = {
        0: work.Trial(depth=0, lr=5e-3, scale=0.1, dropout=0.2, weight_decay=1e-3),
        1: work.Trial(depth=1, lr=3e-3, scale=0.2, dropout=0.2, weight_decay=1e-3),
    }
    scores: dict[tuple[int, int], list[float]] = {}
    seconds: dict[tuple[int, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for split in range(arguments.splits):
            folder = Path(temporary) / str(split)
            work.solar_cells(folder, train=400, val=150, test=600, seed=split)
            for depth, point in points.items():
                for views in choices:
                    ours = Ours(
                        folder / "images",
                        folder / f"{depth}-{views}",
                        arguments.epochs,
                        arguments.image_size,
                        views=views,
                    )
                    cost = timed(lambda ours=ours, point=point: ours.train(point))
                    scores.setdefault((depth, views), []).append(ours.test())
                    seconds.setdefault((depth, views), []).append(cost)
            print(f"split {split} done", file=sys.stderr, flush=True)
    print(
        f"| depth | views | test balanced accuracy, {arguments.splits} splits | minus all views "
        "| CPU-s, store cold |\n| ---: | ---: | --- | --- | ---: |"
    )
    for (depth, views), found in scores.items():
        every = scores[depth, arguments.epochs]
        gaps = [one - two for one, two in zip(found, every, strict=True)]
        spread = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
        print(
            f"| {depth} | {views} | {statistics.mean(found):.3f} "
            f"({', '.join(f'{value:.3f}' for value in found)}) | "
            f"{statistics.mean(gaps):+.3f} (s.e. {spread:.3f}) | "
            f"{statistics.mean(seconds[depth, views]):.0f} |"
        )


if __name__ == "__main__":
    main()
