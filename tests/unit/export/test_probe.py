from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from search.backbones.availability import Located, locate
from search.backbones.weights import load_state
from search.data.images import DecodedForm, ImageTable
from search.data.store import decoded_side
from search.data.streamed import StreamedImages
from search.export import probe as module
from search.export.pixels import squares
from search.export.probe import STRENGTHS, Probe, ProbeJob, linear_probe
from search.space.spec import WeightsSpec
from search.training.metrics import metrics


@pytest.fixture(scope="module")
def job(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> ProbeJob:
    """The packaged efficientnet_lite0 at 32 pixels."""
    name = "efficientnet_lite0"
    located = locate(name, WeightsSpec(), tmp_path_factory.mktemp("cache"))
    assert isinstance(located, Located)
    (decoded,) = squares(
        [table.absolute(row) for row in table.rows],
        side=decoded_side(32),
        interpolation=located.preprocessing.interpolation,
        progress=lambda _: None,
    )
    return ProbeJob(
        backbone=name,
        image_size=32,
        state=load_state(located),
        preprocessing=located.preprocessing,
        table=table,
        images=decoded.images,
        objective="loss",
        seed=0,
    )


@pytest.fixture(scope="module")
def probe(job: ProbeJob) -> Probe:
    """What the job gives."""
    return linear_probe(job)


def _labels(table: ImageTable, part: str) -> np.ndarray:
    return np.array([row.label for row in table.rows if row.part == part])


@pytest.mark.slow
def test_images_that_are_decoded_on_the_way_give_the_same(job: ProbeJob, probe: Probe) -> None:
    form = DecodedForm(side=decoded_side(32), interpolation=job.preprocessing.interpolation)
    streamed = StreamedImages(job.table, form, workers=2, most=6)
    found = linear_probe(replace(job, images=streamed))
    assert np.array_equal(found.said_NK, probe.said_NK)
    assert streamed.in_flight == 0


@pytest.mark.slow
def test_it_learns_what_colour_a_patch_has_and_is_the_same_again(
    job: ProbeJob, probe: Probe
) -> None:
    seen: list[tuple[int, int]] = []
    found = linear_probe(job, progress=lambda done, total: seen.append((done, total)))
    assert np.array_equal(found.said_NK, probe.said_NK)
    assert metrics(found.said_NK, _labels(job.table, "test"))["accuracy"] >= 0.6
    assert found.train_images == 12
    assert found.strength in STRENGTHS
    assert seen[-1] == (36, 36)


@pytest.mark.slow
def test_it_is_a_standardised_logistic_regression_with_the_strength_best_on_validation(
    job: ProbeJob, probe: Probe
) -> None:
    rows = {
        part: np.flatnonzero([row.part == part for row in job.table.rows])
        for part in ("train", "val", "test")
    }
    features = {
        part: module._features(job, chosen, lambda *_: None) for part, chosen in rows.items()
    }
    values = {}
    for strength in STRENGTHS:
        plain = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        plain.fit(features["train"], _labels(job.table, "train"))
        values[strength] = metrics(plain.predict_proba(features["val"]), _labels(job.table, "val"))[
            "loss"
        ]
    assert probe.strength == min(values, key=lambda strength: values[strength])
    assert probe.value == pytest.approx(min(values.values()), rel=1e-3)


@pytest.mark.slow
def test_no_test_label_and_no_test_image_changes_what_is_fitted(
    job: ProbeJob, probe: Probe
) -> None:
    """Other test images and labels: the same model, hence the same figures on the old ones."""
    rows = tuple(
        replace(row, label=(row.label + 1) % 3) if row.part == "test" else row
        for row in job.table.rows
    )
    images = job.images.copy()
    of_test = [row.part == "test" for row in rows]
    images[of_test] = 0
    changed = linear_probe(replace(job, table=replace(job.table, rows=rows), images=images))
    assert (changed.strength, changed.value) == (probe.strength, probe.value)
    assert np.ptp(changed.said_NK, axis=0).max() < 1e-6


@pytest.mark.slow
def test_it_takes_at_most_so_many_images_and_says_how_many(
    job: ProbeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 8)
    found = linear_probe(job)
    assert found.train_images == 8
    assert found.said_NK.shape == (15, 3)
    assert np.allclose(found.said_NK.sum(axis=1), 1)
