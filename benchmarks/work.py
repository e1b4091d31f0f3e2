"""The work that all sides of a benchmark do: images, weights, and lists of trials.

Everything is written into a folder once, before any clock starts: images as a
folder per part and class, the packaged weights as a plain state dict under timm's
names, and lists of trials as JSON. Neither side reads anything else.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

BACKBONE = "efficientnet_lite0"
TIMM = "tf_efficientnet_lite0"
MEAN = STD = (0.5, 0.5, 0.5)
# What each depth trains beside the classifier, under timm's names: the last blocks.
TRAINED = (
    (),
    ("blocks.5.", "blocks.6.", "conv_head.", "bn2."),
    ("blocks.3.", "blocks.4."),
    ("blocks.2.",),
    ("blocks.1.",),
    ("blocks.0.", "conv_stem.", "bn1."),
)


def trains(name: str, depth: int) -> bool:
    """Whether a tensor is trained at a depth."""
    prefixes = ("classifier.", *(prefix for block in TRAINED[: depth + 1] for prefix in block))
    return name.startswith(prefixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One recorded point, the same for every side."""

    depth: int
    lr: float
    scale: float
    """Trained blocks learn at lr times this."""
    dropout: float
    weight_decay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a side is given."""

    folder: Path
    image_size: int
    epochs: int
    batch_size: int = 32

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.pth"


def trials(count: int, depths: tuple[int, ...], seed: int) -> list[Trial]:
    """A list in which the depths take turns."""
    random_ = random.Random(seed)
    return [
        Trial(
            depth=depths[number % len(depths)],
            lr=10 ** random_.uniform(-3, -2),
            scale=10 ** random_.uniform(-1.5, -0.5),
            dropout=random_.uniform(0.0, 0.4),
            weight_decay=10 ** random_.uniform(-4, -2),
        )
        for number in range(count)
    ]


def save(found: list[Trial], path: Path) -> Path:
    path.write_text(json.dumps([asdict(trial) for trial in found]), encoding="utf-8")
    return path


def load(path: Path) -> list[Trial]:
    return [Trial(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def solar_cells(folder: Path, *, train: int, val: int, test: int, seed: int) -> Path:
    """Photographs of the sample, stratified, as ``images/PART/CLASS/NAME.png``."""
    from search.data.sample import list_sample

    listing = list_sample("solar-cells")
    by_class: dict[str, list[str]] = {}
    for image in listing.images:
        by_class.setdefault(image.label, []).append(image.path)
    random_ = random.Random(seed)
    total = len(listing.images)
    for label, paths in sorted(by_class.items()):
        random_.shuffle(paths)
        start = 0
        for part, count in (("train", train), ("val", val), ("test", test)):
            stop = start + round(count * len(paths) / total)
            place = folder / "images" / part / label
            place.mkdir(parents=True, exist_ok=True)
            for path in paths[start:stop]:
                shutil.copy(listing.root / path, place / Path(path).name)
            start = stop
    return folder / "images"


def packaged_weights(folder: Path) -> Path:
    """The weights that a package ships, as timm calls them, without a head."""
    import torch

    from search.backbones.availability import locate
    from search.backbones.weights import load_state
    from search.space.spec import WeightsSpec

    state = load_state(locate(BACKBONE, WeightsSpec(), folder))
    assert state is not None
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth"


def space_file(work: Work, found: list[Trial], path: Path, *, concurrency: int = 2) -> Path:
    """The same trials for the real command, in order, each trained to the end."""
    rows = [
        {
            "unfreeze_depth": trial.depth,
            "lr": trial.lr,
            "dropout": trial.dropout,
            "weight_decay": trial.weight_decay,
        }
        | ({"backbone_lr_scale": trial.scale} if trial.depth else {})
        for trial in found
    ]
    depths = sorted({trial.depth for trial in found})
    # JSON is YAML.
    document = {
        "study": {"name": path.stem},
        "data": {"path": str(work.images)},
        "epochs": {"min": 1, "max": work.epochs},
        "space": {
            "backbone": BACKBONE,
            "image_size": work.image_size,
            "unfreeze_depth": depths if len(depths) > 1 else depths[0],
            "lr": {"float": [1e-4, 1e-1], "log": True},
            "backbone_lr_scale": {
                "float": [1e-3, 1.0],
                "log": True,
                "when": {"unfreeze_depth": {"min": 1}},
            }
            if depths[-1]
            else 0.1,
            "dropout": {"float": [0.0, 0.5]},
            "weight_decay": {"float": [1e-5, 1e-1], "log": True},
            "augmentation": "light",
            "batch_size": work.batch_size,
        },
        "first": rows,
        "scheduler": {"name": "none"},
        "budget": {"trials": len(found)},
        "resources": {"cpus_per_trial": 1, "concurrency": concurrency},
    }
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path
