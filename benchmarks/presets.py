"""What the presets are worth: each against one flat space, for the same wall time.

On each split the real command searches once with a space without conditions, as the
first version of this project had, and once with each preset. Backbone, image size,
images and minutes are the same for all; epochs and the rest are each space's own. Test
balanced accuracy is of images that selection never saw. The difference to the flat
space is paired by image in each split; over splits it is their mean, with a 95 %
interval of Student's t over the splits, which is what a choice of preset rests on.

    python benchmarks/presets.py --splits 5 --minutes 2 [--out benchmarks/presets.json]

Written after each split; ``--first 3`` goes on with splits 3 and 4 of what is there.

5 splits of 2 minutes take about 45 minutes on two cores, with the tests at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pictures
import work
from score import difference, shown

HERE = Path(__file__).parent.absolute()


def few_cells(folder: Path, seed: int) -> None:
    """300, 150 and 400 photographs of solar cells: few enough that minutes hold many trials."""
    work.solar_cells(folder, train=300, val=150, test=400, seed=seed)


DATA = {"solar-cells": few_cells, "fashion-mnist": pictures.fashion}
SIZES = {"solar-cells": 96, "fashion-mnist": 64}
FLAT = {
    "unfreeze_depth": {"int": [0, 5]},
    "lr": {"float": [3e-4, 3e-2], "log": True},
    "backbone_lr_scale": {"float": [3e-3, 0.5], "log": True},
    "dropout": {"float": [0.0, 0.5]},
    "weight_decay": {"float": [1e-6, 1e-1], "log": True},
    "label_smoothing": {"float": [0.0, 0.2]},
    "augmentation": ["none", "light", "medium", "heavy"],
    "batch_size": 32,
}
"""The ranges of spaces/vision.yaml without its conditions."""
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
"""Student's t at .975 for so many splits (one degree of freedom less)."""


def spaces() -> dict[str, dict[str, Any]]:
    """What is compared: the start of a space file by name, the flat one first."""
    return {
        "flat": {"space": FLAT, "epochs": {"min": 2, "max": 18}, "first": ["default"]},
        "small-data": {"extends": "preset/small-data"},
        "balanced": {"extends": "preset/balanced"},
    }


def document(start: dict[str, Any], data: str, images: Path, *, minutes: float) -> dict[str, Any]:
    """The space file, with what is the same for all of them."""
    fixed = {"backbone": work.BACKBONE, "image_size": SIZES[data]}
    return {
        **start,
        "data": {"path": str(images)},
        "objective": "balanced_accuracy",
        "space": {**start.get("space", {}), **fixed},
        "budget": {"trials": None, "minutes": minutes},
    }


def search(name: str, space: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """One search through the real command: its document, and a label for each test image."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(space, indent=1), encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key != "SEARCH_STORAGE"}
    env |= {"SEARCH_CACHE": str(folder / f"cache-{name}"), "OMP_NUM_THREADS": "1"}

    def command(*arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "search.cli.main", *arguments, "--json"],
            cwd=folder, env=env, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    result = command("run", str(file), "--name", name)
    if not (folder / "studies" / name / "export").is_dir():
        sys.exit(f"{name}: no trial was trained to its end; more --minutes are needed")
    test = Path(space["data"]["path"]) / "test"
    predicted = command("predict", f"studies/{name}/export", str(test))
    labels = {
        Path(row["path"]).relative_to(test).as_posix(): row["label"]
        for row in predicted["predictions"]
    }
    return result, labels


def one(data: str, split: int, folder: Path, *, minutes: float) -> dict[str, Any]:
    """One data set and split: every space's test score, and what it gains over flat.

    Each begins with an empty cache, so none profits from the one before it.
    """
    folder.mkdir()
    DATA[data](folder, split)
    images = folder / "images"
    found = {
        name: search(name, document(start, data, images, minutes=minutes), folder)
        for name, start in spaces().items()
    }
    truth = {path: path.partition("/")[0] for path in found["flat"][1]}
    rows: dict[str, Any] = {}
    for name in found:
        result, labels = found[name]
        gain = difference(labels, found["flat"][1], truth)
        rows[name] = {
            "test": result["best"]["test"]["balanced_accuracy"],
            "difference": gain[0],
            "interval": list(gain[1:]),
        }
    return {"data": data, "split": split, "images": len(truth), "spaces": rows}


def over_splits(gains: list[float]) -> tuple[float, list[float]]:
    """Mean and 95 % interval over two splits and more."""
    mean = statistics.fmean(gains)
    t = T_95[max(count for count in T_95 if count <= len(gains))]
    half = t * statistics.stdev(gains) / math.sqrt(len(gains))
    return mean, [mean - half, mean + half]


def over_all(rows: list[dict[str, Any]]) -> dict[str, tuple[float, list[float]]]:
    """:func:`over_splits` of each preset; of one split, nothing."""
    if len(rows) < 2:
        return {}
    return {
        name: over_splits([row["spaces"][name]["difference"] for row in rows])
        for name in list(spaces())[1:]
    }


def kept(out: Path, data: str, count: int) -> list[dict[str, Any]]:
    """The rows of an earlier run, of the first ``count`` splits.

    Raises:
        SystemExit: If it has not all of them.
    """
    if count == 0:
        return []
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else []
    found = [row for row in rows if row["data"] == data and row["split"] < count]
    if len(found) != count:
        sys.exit(f"{out} has {len(found)} of the {count} splits before --first")
    return found


def revision() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def line(row: dict[str, Any]) -> str:
    cells = [row["data"], str(row["split"]), f"{row['spaces']['flat']['test']:.3f}"]
    for name in list(spaces())[1:]:
        own = row["spaces"][name]
        cells += [f"{own['test']:.3f}", shown(own["difference"], own["interval"])]
    return "| " + " | ".join(cells) + " |"


def head() -> str:
    cells = ["data", "split", "flat"]
    for name in list(spaces())[1:]:
        cells += [name, f"{name} minus flat"]
    return f"| {' | '.join(cells)} |\n|{' --- |' * len(cells)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(DATA), default="solar-cells")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="those before are in --out")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each search")
    parser.add_argument("--out", type=Path, default=HERE / "presets.json")
    arguments = parser.parse_args()
    began = time.perf_counter()
    rows = kept(arguments.out, arguments.data, arguments.first)
    print(head(), *map(line, rows), sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for split in range(arguments.first, arguments.splits):
            folder = Path(temporary) / f"{arguments.data}-{split}"
            rows.append(one(arguments.data, split, folder, minutes=arguments.minutes))
            print(line(rows[-1]), flush=True)
            means = over_all(rows)
            told = {
                "date": datetime.now(UTC).date().isoformat(), "revision": revision(),
                "minutes_each": arguments.minutes, "seconds": time.perf_counter() - began,
                "rows": rows, "over_splits": means,
            }  # fmt: skip
            arguments.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for name, found in over_all(rows).items():
        print(f"{name} minus flat over {len(rows)} splits: {shown(*found)}")
    print(f"{(time.perf_counter() - began) / 60:.1f} minutes; everything is in {arguments.out}")


if __name__ == "__main__":
    main()
