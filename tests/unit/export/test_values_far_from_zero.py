"""Values of which float32 has no digits left: seconds since 1970 that differ by a few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from search.data.images import ImageTable
from search.data.targets import targets_of
from search.export.asking import FinishJob
from search.export.contents import CARD_FILE
from search.export.finish import finish
from search.export.predict import Predictor
from search.export.results import FinalResults
from search.space.spec import WeightsSpec
from search.training.checkpoint import load_trained
from search.training.task_metrics import task_metrics
from tests.unit.export.conftest import config, origin_of, train

Searched: TypeAlias = Callable[[float], tuple[ImageTable, FinalResults, dict[str, float]]]


@pytest.fixture
def searched(table: ImageTable, tmp_path: Path) -> Searched:
    """A whole search for the number of an image's class, 2 apart, from an offset on."""

    def search(offset: float) -> tuple[ImageTable, FinalResults, dict[str, float]]:
        rows = tuple(
            replace(row, label=offset + 2.0 * row.label)
            for row in table.rows
            if isinstance(row.label, int)
        )
        numbers = replace(table, rows=rows, classes=(), task="regression")
        root = tmp_path / f"{offset}"
        random = WeightsSpec(source="random")
        winner = train(numbers, config(depth=0), 0, root / "00000", random)
        origin = replace(origin_of(numbers, root / "cache"), objective="mae")
        job = FinishJob(
            origin=origin,
            winner=winner,
            default=None,
            destination=root / "export",
            resamples=20,
            device="cpu",
        )
        return numbers, finish(job), dict(load_trained(winner.checkpoints).metrics)

    return search


@pytest.mark.slow
def test_a_study_of_values_far_from_0_has_the_figures_of_the_same_values_near_it(
    searched: Searched,
) -> None:
    _, near, near_validation = searched(0.0)
    table, far, far_validation = searched(1.7e9)
    assert far_validation == pytest.approx(near_validation, rel=1e-3)
    assert dict(far.test.metrics) == pytest.approx(dict(near.test.metrics), rel=1e-3)
    probes = [results.baseline("linear_probe").test for results in (near, far)]
    assert probes[0] is not None
    assert probes[1] is not None
    assert dict(probes[1].metrics) == pytest.approx(dict(probes[0].metrics), rel=1e-3)

    rows = table.part("test")
    predictor = Predictor.open(Path(far.folder), device="cpu")
    said_N1, _ = predictor.said([table.absolute(row) for row in rows])
    assert task_metrics("regression", said_N1, targets_of(table, rows)) == far.test.metrics
    written = predictor.info.learns.written(predictor.info.learns.scale.mean)
    assert written.startswith("170000000")
    assert f"{written} on average in train" in (Path(far.folder) / CARD_FILE).read_text()
