"""Small data of each task, and a trial on them; for several files of tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from search.backbones.catalogue import CATALOGUE
from search.data.targets import Scale
from search.space.spec import METRICS_OF
from search.training.config import TrialConfig
from search.training.fit import Show, fit
from search.training.inputs import TrialData
from search.training.readout import Readout
from search.training.report import EpochReport
from tests.unit.training.conftest import make_data


def several() -> TrialData:
    """Is it class 1, is it class 2: the halves that are darkened."""
    data = make_data(train=40, val=20)

    def part(given: Any) -> Any:
        both = np.stack([given.labels == 1, given.labels == 2], axis=1).astype(np.float32)
        return replace(given, labels=both)

    return TrialData(train=part(data.train), val=part(data.val), readout=Readout(task="multilabel"))


def numbers(mean: float, std: float) -> TrialData:
    """A number that follows from the class."""
    data = make_data(train=40, val=20)

    def part(given: Any) -> Any:
        return replace(given, labels=mean + std * (given.labels - 1.0))

    train, val = part(data.train), part(data.val)
    scale = Scale(mean=float(train.labels.mean()), std=float(train.labels.std()))
    return TrialData(train=train, val=val, readout=Readout(task="regression", scale=scale))


def trained(
    config: TrialConfig,
    data: TrialData,
    outputs: int,
    folder: Path | None = None,
    *,
    note: Callable[[str], None] = lambda _: None,
    show: Show = lambda _curve, _found: None,
) -> list[EpochReport]:
    return list(
        fit(
            config,
            data=data,
            weights=None,
            weights_hash="random:0",
            preprocessing=CATALOGUE[config.backbone].preprocessing,
            classes=outputs,
            folder=folder,
            objective=METRICS_OF[data.readout.task][0],
            maximize=data.readout.task != "regression",
            note=note,
            show=show,
        )
    )
