"""What the exported model is worth: `make score`.

On each data set and split the real command searches, exports, and measures on test
images that selection never saw. Beside it the default settings, scikit-learn's
logistic regression on frozen features, and `baseline.py` searching for as many
CPU-seconds. Differences are paired, with a 95 % bootstrap interval.

    python benchmarks/score.py --out benchmarks/score.json [--splits 3]

What a setting is worth: the same with ``--space '{"head_init": "probe"}' --alone``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pictures
import work
from measured import run

HERE = Path(__file__).parent.absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    name: str
    make: Callable[[Path, int], None]
    image_size: int
    policies: tuple[str, ...]


SETS = (
    DataSet(name="solar-cells", make=pictures.solar, image_size=96, policies=("none", "light")),
    DataSet(name="fashion-mnist", make=pictures.fashion, image_size=64, policies=("none", "light")),
    DataSet(name="digits", make=pictures.digits, image_size=64, policies=("none",)),
)
TRIALS, EPOCHS = 12, 6


def space(data: DataSet, images: Path, path: Path, more: dict[str, Any]) -> Path:
    """The search: what a user would write for a small data set on two cores."""
    document = {
        "study": {"name": data.name},
        "data": {"path": str(images)},
        "epochs": {"min": 1, "max": EPOCHS},
        "space": {
            "backbone": work.BACKBONE,
            "image_size": data.image_size,
            "unfreeze_depth": {"int": [0, 2]},
            "lr": {"float": [1e-3, 3e-2], "log": True},
            "backbone_lr_scale": {
                "float": [0.03, 0.5], "log": True, "when": {"unfreeze_depth": {"min": 1}}
            },
            "dropout": {"float": [0.0, 0.4]},
            "weight_decay": {"float": [1e-4, 1e-1], "log": True},
            "augmentation": list(data.policies),
            "batch_size": 32,
            **more,
        },
        "first": ["default"],
        "budget": {"trials": TRIALS},
    }  # fmt: skip
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def labels_of(rows: dict[str, str], truth: dict[str, str]) -> list[list[float]]:
    """Labels as probabilities, images in order of path."""
    classes = sorted(set(truth.values()))
    return [[float(rows[path] == name) for name in classes] for path in sorted(truth)]


def difference(
    ours: dict[str, str], theirs: dict[str, str], truth: dict[str, str]
) -> tuple[float, float, float]:
    """Balanced accuracy of ours minus theirs, with a 95 % interval, paired."""
    import numpy as np

    from search.export.bootstrap import draw
    from search.training.metrics import metrics

    classes = sorted(set(truth.values()))
    labels = np.array([classes.index(truth[path]) for path in sorted(truth)])
    models = [np.array(labels_of(rows, truth)) for rows in (ours, theirs)]
    drawn = draw("balanced_accuracy", models, labels, resamples=2000, rng=np.random.default_rng(0))
    values = [metrics(model, labels)["balanced_accuracy"] for model in models]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return values[0] - values[1], float(low), float(high)


def one(
    data: DataSet, split: int, folder: Path, *, more: dict[str, Any], alone: bool
) -> dict[str, Any]:
    """One data set and split: every side's test score; ``alone`` without ``baseline.py``."""
    folder.mkdir()
    data.make(folder, split)
    work.packaged_weights(folder)
    env = {name: value for name, value in os.environ.items() if name != "SEARCH_STORAGE"}
    env |= {"SEARCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    images = folder / "images"
    command = [sys.executable, "-m", "search.cli.main", "run"]
    command.append(str(space(data, images, folder / "space.json", more)))
    ours = run(command, folder=folder, env=env)
    status = subprocess.run(
        [sys.executable, "-m", "search.cli.main", "status", data.name, "--json"],
        cwd=folder, env=env, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    test = images / "test"
    predicted = subprocess.run(
        [sys.executable, "-m", "search.cli.main", "predict", f"studies/{data.name}/export",
         str(test), "--json"],
        cwd=folder, env=env, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    chosen = {
        Path(row["path"]).relative_to(test).as_posix(): row["label"]
        for row in json.loads(predicted.stdout)["predictions"]
    }
    theirs_file = folder / "theirs.json"
    theirs = None if alone else run(
        [sys.executable, str(HERE / "baseline.py"), "--images", str(images), "--weights",
         str(folder / "weights.pth"), "--image-size", str(data.image_size), "--epochs",
         str(EPOCHS), "--search", "1000", "--seconds", str(ours.cpu / 2), "--seed", str(split),
         "--predictions", str(theirs_file), *(() if "light" in data.policies else ("--plain",))],
        folder=folder, env=env,
    )  # fmt: skip
    truth = {path: path.partition("/")[0] for path in chosen}
    against = None
    if theirs_file.exists():
        other = json.loads(theirs_file.read_text(encoding="utf-8"))
        gain, low, high = difference(chosen, other, truth)
        against = {"difference": gain, "interval": [low, high]}
    results = json.loads(status.stdout)["results"]
    return {
        "data": data.name, "split": split, "images": len(truth),
        "test": results["test"]["metrics"]["balanced_accuracy"],
        "baselines": {
            each["name"]: each["comparison"]
            for each in results["baselines"]
            if each["comparison"] is not None
        },
        "baseline": against,
        "cpu": {"ours": ours.cpu, "baseline": theirs and theirs.cpu},
        "wall": {"ours": ours.wall, "baseline": theirs and theirs.wall},
    }  # fmt: skip


def shown(value: float, interval: list[float]) -> str:
    return f"{value:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"


def line(row: dict[str, Any]) -> str:
    cells = [row["data"], str(row["split"]), str(row["images"]), f"{row['test']:.3f}"]
    for name in ("default", "linear_probe"):
        found = row["baselines"].get(name)
        cells.append("" if found is None else shown(found["difference"], found["interval"]))
    against, cpu = row["baseline"], row["cpu"]
    if cpu["baseline"] is None:
        return "| " + " | ".join([*cells, "not run", f"{cpu['ours']:.0f}"]) + " |"
    cells.append(
        "it had no model by then"
        if against is None
        else shown(against["difference"], against["interval"])
    )
    cells.append(f"{cpu['ours']:.0f} / {cpu['baseline']:.0f}")
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| data | split | test images | test balanced accuracy | minus default settings | "
    "minus linear probe | minus baseline.py | CPU-s ours / baseline |\n"
    "| --- | ---: | ---: | ---: | --- | --- | --- | --- |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "score.json")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--only", choices=[data.name for data in SETS])
    parser.add_argument(
        "--space", type=json.loads, default={}, help="JSON: what else the space has"
    )
    parser.add_argument("--alone", action="store_true", help="leave baseline.py out")
    arguments = parser.parse_args()
    began = time.perf_counter()
    rows = []
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for data in SETS:
            if arguments.only not in (None, data.name):
                continue
            if data.make is pictures.fashion and not pictures.FASHION.is_dir():
                print("fashion-mnist is left out: install Debian's dataset-fashion-mnist")
                continue
            for split in range(arguments.splits):
                row = one(
                    data, split, Path(temporary) / f"{data.name}-{split}",
                    more=arguments.space, alone=arguments.alone,
                )  # fmt: skip
                rows.append(row)
                print(line(row), flush=True)
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    document = {
        "date": datetime.now(UTC).date().isoformat(), "revision": revision,
        "seconds": time.perf_counter() - began, "space": arguments.space, "rows": rows,
    }  # fmt: skip
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{document['seconds'] / 60:.1f} minutes; everything is in {arguments.out}")


if __name__ == "__main__":
    main()
