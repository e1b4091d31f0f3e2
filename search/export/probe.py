"""The linear probe: scikit-learn's linear model of the task on frozen features.

The cheapest honest baseline: the same backbone at the same image size, nothing
fine-tuned. Images go through the evaluation geometry and the frozen body once,
in fixed chunks; features are standardised by the train part; the strength of
the regularisation is chosen on the validation part by the study's objective;
only train images are fitted. On a CPU the same inputs give the same result.
N images, F features, K classes, C inverse strength.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.backbones.info import Preprocessing
from search.data.images import ImageTable, Part
from search.data.targets import Targets, targets_of
from search.export.regressions import Says, fitted
from search.space.spec import Metric, maximized
from search.training.multilabel import tuned_thresholds
from search.training.task_metrics import task_metrics

if TYPE_CHECKING:
    from torch import Tensor

    from search.training.inputs import Pixels

STRENGTHS = tuple(float(each) for each in np.logspace(-5, 2, 8))
"""C, strongest regularisation first; the first of equals is taken."""
MOST = 20_000
"""Images of train and of val that are used at most, drawn with the seed: beyond
that a regression costs more than a fine-tuning epoch and gains little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeJob:
    """What the probe needs."""

    backbone: str
    image_size: int
    """Pixels."""
    state: Mapping[str, Tensor] | None
    """The body's pretrained tensors; None is a random body."""
    preprocessing: Preprocessing
    table: ImageTable
    images: Pixels
    """[rows, side, side, 3] decoded squares in the table's order."""
    objective: Metric
    seed: int
    """Of the draw where there are too many images."""
    body_seed: int = 0
    """Of a random body."""
    device: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The fitted probe on the test part."""

    said_NK: NDArray[np.floating]
    """Of the test images, in the table's order; of a regression, values [N, 1]."""
    strength: float
    """The chosen C."""
    value: float
    """The objective on the validation part."""
    train_images: int
    """Images that it was fitted on."""
    thresholds: tuple[float, ...] = ()
    """Tuned on val, as the winner's are; several classes an image alone."""


def linear_probe(
    job: ProbeJob, *, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Probe:
    """Fit the probe on train, choose C on val, and label test.

    Args:
        job: Backbone, images and objective.
        progress: Called with how many images are through the backbone, of how many.
    """
    parts: dict[Part, NDArray[np.int64]] = {
        "train": _rows(job, "train", MOST),
        "val": _rows(job, "val", MOST),
        "test": _rows(job, "test", None),
    }
    rows = np.concatenate(list(parts.values()))
    features_NF = _features(job, rows, progress)
    ends = np.cumsum([len(chosen) for chosen in parts.values()])
    train_NF, val_NF, test_NF = np.split(features_NF, ends[:-1])
    mean_F, std_F = train_NF.mean(axis=0), train_NF.std(axis=0)
    std_F[std_F < 1e-6] = 1.0
    targets = targets_of(job.table, job.table.rows)
    best = _fitted(
        job,
        (train_NF - mean_F) / std_F,
        targets[parts["train"]],
        (val_NF - mean_F) / std_F,
        targets[parts["val"]],
    )
    return Probe(
        said_NK=best.says((test_NF - mean_F) / std_F),
        strength=best.strength,
        value=best.value,
        train_images=len(parts["train"]),
        thresholds=best.thresholds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    says: Says
    strength: float
    value: float
    thresholds: tuple[float, ...]


def _fitted(
    job: ProbeJob,
    train_NF: NDArray[np.float32],
    train: Targets,
    val_NF: NDArray[np.float32],
    val: Targets,
) -> _Fitted:
    task = job.table.task
    sign = 1.0 if maximized(job.objective) else -1.0
    best: _Fitted | None = None
    for strength in STRENGTHS:
        says = fitted(task, train_NF, train, outputs=job.table.outputs, c=strength)
        said_NK = says(val_NF)
        value = task_metrics(task, said_NK, val)[job.objective]
        if best is None or sign * value > sign * best.value:
            tuned = tuned_thresholds(said_NK, val) if task == "multilabel" else ()
            best = _Fitted(says=says, strength=strength, value=value, thresholds=tuned)
    assert best is not None
    return best


def _rows(job: ProbeJob, part: Part, most: int | None) -> NDArray[np.int64]:
    """Rows of the table in a part; a draw of them where there are more than ``most``."""
    rows = np.array(
        [number for number, row in enumerate(job.table.rows) if row.part == part], dtype=np.int64
    )
    if most is None or len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(job.seed).choice(rows, most, replace=False))


def _features(
    job: ProbeJob, rows: NDArray[np.int64], progress: Callable[[int, int], None]
) -> NDArray[np.float32]:
    """Pooled features [N, F] of rows of the table, as the frozen body puts them out."""
    import torch

    from search.backbones.stages import BLOCKS, build
    from search.training import warp
    from search.training.inputs import expect
    from search.training.prefix import chunk_size, padded, run_frozen

    device = torch.device(job.device)
    staged = build(
        job.backbone,
        classes=job.table.outputs,
        image_size=job.image_size,
        dropout=0.0,
        state=job.state,
        seed=job.seed,
        body_seed=job.body_seed,
    ).to(device, memory_format=torch.channels_last)
    staged.set_mode(0, training=False)
    features_NF = np.empty((len(rows), staged.features), dtype=np.float32)
    size = chunk_size(device)
    expect(job.images, rows)
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        pixels = torch.from_numpy(job.images[padded(chosen, size)]).to(device)
        images = warp.evaluated(pixels, image_size=job.image_size, preprocessing=job.preprocessing)
        found = run_frozen(staged, warp.normalised(images, job.preprocessing), len(BLOCKS))
        found = found.flatten(2).mean(2) if found.ndim > 2 else found  # SqueezeNet's are maps
        features_NF[start : start + len(chosen)] = found[: len(chosen)].float().cpu().numpy()
        progress(start + len(chosen), len(rows))
    return features_NF
