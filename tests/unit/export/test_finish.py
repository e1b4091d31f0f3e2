from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from search.data.images import ImageTable
from search.export.asking import FinishJob
from search.export.contents import FILES, INFO_FILE
from search.export.evaluate import evaluate
from search.export.finish import finish
from search.export.predict import Predictor
from search.export.reading import read_info
from search.export.results import FinalResults
from search.export.trial import Candidate
from search.problems import Exit, SearchError
from search.space.spec import METRICS, WeightsSpec
from search.training.checkpoint import load_trained
from search.training.metrics import metrics
from tests.unit.export.conftest import config, origin_of, train

pytestmark = pytest.mark.slow  # many short trainings: make test has the time


@pytest.fixture(scope="module")
def default(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """A second trial: the head alone."""
    folder = tmp_path_factory.mktemp("default") / "00000"
    trial = config(seed=1, depth=0, lr=1e-4)
    return train(table, trial, 0, folder, WeightsSpec(source="random"))


@pytest.fixture(scope="module")
def job(
    table: ImageTable,
    candidate: Candidate,
    default: Candidate,
    tmp_path_factory: pytest.TempPathFactory,
) -> FinishJob:
    root = tmp_path_factory.mktemp("study")
    return FinishJob(
        origin=origin_of(table, root / "cache"),
        winner=candidate,
        default=default,
        destination=root / "export",
        resamples=200,
        device="cpu",
    )


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def results(job: FinishJob, told: list[str]) -> FinalResults:
    return finish(job, opening=told.append)


def test_the_test_set_is_opened_once_for_each_and_told_before(
    results: FinalResults, told: list[str]
) -> None:
    assert told == ["winner", "default", "linear_probe"]
    assert results.opened == {"winner": 1, "default": 1, "linear_probe": 1}
    assert results.times_opened == 3


def test_the_exported_model_gives_exactly_the_recorded_test_figures(
    results: FinalResults, table: ImageTable
) -> None:
    predictor = Predictor.open(Path(results.folder), device="cpu")
    found, labels = evaluate(predictor, table, "test")
    assert dict(results.test.metrics) == metrics(found, labels)
    assert predictor.info.test == results.test
    assert predictor.info.measured_on == "cpu"
    assert sorted(os.listdir(results.folder)) == sorted(FILES)


def test_the_results_say_what_was_chosen_and_how_it_compares(
    results: FinalResults, candidate: Candidate, default: Candidate
) -> None:
    checkpoint = load_trained(candidate.checkpoints)
    assert (results.trial, results.epoch) == (4, checkpoint.epoch)
    assert results.value == checkpoint.metrics["balanced_accuracy"]
    assert results.params == candidate.params
    assert results.test.n == 15
    assert tuple(results.test.metrics) == tuple(results.test.intervals) == METRICS
    assert not results.winner_is_default
    for name in ("default", "linear_probe"):
        baseline = results.baseline(name)
        assert baseline.test is not None
        assert baseline.comparison is not None
        assert baseline.comparison.metric == "balanced_accuracy"
        assert baseline.comparison.difference == pytest.approx(
            results.test.metrics["balanced_accuracy"] - baseline.test.metrics["balanced_accuracy"]
        )
    assert results.baseline("default").what.startswith(f"trial {default.number}, resnet18, epoch ")
    assert "frozen resnet18 at 32 px" in results.baseline("linear_probe").what


def test_every_step_is_told_and_counts_are_of_images_that_were_answered(
    job: FinishJob, tmp_path: Path
) -> None:
    steps: dict[str, tuple[int, int]] = {}

    def progress(what: str, done: int, total: int) -> None:
        steps[what] = (done, total)

    finish(replace(job, destination=tmp_path / "export"), progress=progress)
    count = len(job.origin.table.part("test"))
    told = [step for step in steps if not step.startswith("decoding")]
    assert told == [
        "exporting the best trial",
        "test, best trial",
        "intervals of the best trial",
        "writing the best trial",
        "exporting the default settings",
        "test, default settings",
        "intervals of the default settings",
        "linear probe",
        "fitting the linear probe",
        "intervals of the linear probe",
    ]
    assert steps["test, best trial"] == steps["test, default settings"] == (count, count)


def test_nothing_is_left_beside_the_export(results: FinalResults, job: FinishJob) -> None:
    assert sorted(os.listdir(job.destination.parent)) == ["cache", "export"]
    assert Path(results.folder) == job.destination.resolve()


def test_the_results_survive_json(results: FinalResults) -> None:
    text = json.dumps(results.to_json(), allow_nan=False)
    assert FinalResults.from_json(json.loads(text)) == results


def test_the_job_and_the_results_can_travel_to_another_process(
    job: FinishJob, results: FinalResults
) -> None:
    assert pickle.loads(pickle.dumps(job)) == job
    assert pickle.loads(pickle.dumps(results)) == results


def test_a_winner_at_default_settings_is_not_compared_with_itself(
    job: FinishJob, candidate: Candidate, tmp_path: Path
) -> None:
    found = finish(
        replace(job, default=candidate, destination=tmp_path / "export", opened={"winner": 2})
    )
    assert found.winner_is_default
    baseline = found.baseline("default")
    assert baseline.test == found.test
    assert baseline.comparison is None
    assert "is the best trial itself" in baseline.what
    assert found.opened == {"winner": 3, "linear_probe": 1}


@pytest.mark.parametrize("kind", ["none", "gone", "damaged"])
def test_a_default_trial_without_weights_is_said_and_ends_nothing(
    job: FinishJob, tmp_path: Path, kind: str
) -> None:
    default = Candidate(number=0, params={}, checkpoints=tmp_path / "00000")
    if kind == "damaged":
        default.checkpoints.mkdir()
        (default.checkpoints / "best.safetensors").write_bytes(b"damaged")
    found = finish(
        replace(job, default=None if kind == "none" else default, destination=tmp_path / "export")
    )
    baseline = found.baseline("default")
    assert (baseline.test, baseline.comparison) == (None, None)
    assert {
        "none": "no finished trial at default",
        "gone": "left no weights",
        "damaged": "no usable",
    }[kind] in baseline.what
    assert "default" not in found.opened
    assert found.baseline("linear_probe").test is not None


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        pytest.param({"path": "gone.png"}, r"gone\.png can no longer be read", id="gone"),
        pytest.param({"sha256": "0" * 64}, "has another content than", id="changed"),
    ],
)
def test_a_test_image_that_is_not_the_checked_one_is_named_and_no_figure_is_given(
    job: FinishJob, table: ImageTable, tmp_path: Path, change: dict[str, str], fact: str
) -> None:
    row = table.part("test")[0]
    rows = tuple(replace(each, **change) if each == row else each for each in table.rows)
    lost = replace(job.origin, table=replace(table, rows=rows))
    with pytest.raises(SearchError, match=fact) as caught:
        finish(replace(job, origin=lost, destination=tmp_path / "export"))
    assert caught.value.status is Exit.DATA
    assert os.listdir(tmp_path) == []


def test_a_destination_that_holds_something_else_is_refused_before_the_test_set_is_opened(
    job: FinishJob, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_text("mine")
    opened: list[str] = []
    with pytest.raises(SearchError, match=r"holds photo\.jpg"):
        finish(replace(job, destination=tmp_path), opening=opened.append)
    assert opened == []


def test_finishing_again_replaces_the_export_and_gives_the_same_figures(
    results: FinalResults, job: FinishJob
) -> None:
    again = finish(replace(job, opened=results.opened))
    assert again.times_opened == 6
    assert again.test == results.test
    assert [each.comparison for each in again.baselines] == [
        each.comparison for each in results.baselines
    ]
    assert read_info(Path(again.folder) / INFO_FILE)[0].trial == 4


@pytest.fixture
def keeping(job: FinishJob, tmp_path: Path) -> FinishJob:
    """A study that keeps what was said of the test set."""
    return replace(job, destination=tmp_path / "export", kept=(tmp_path / "test",))


def _figures(results: FinalResults) -> list[object]:
    return [(each.test, each.comparison, each.what) for each in results.baselines]


def test_what_was_said_of_the_test_set_is_not_asked_again(keeping: FinishJob) -> None:
    first = finish(keeping)
    told: list[str] = []
    again = finish(replace(keeping, opened=first.opened), opening=told.append)
    assert told == []
    assert again.times_opened == 3
    assert again.test == first.test
    assert _figures(again) == _figures(first)
    assert read_info(Path(again.folder) / INFO_FILE)[0].measured_on == "cpu"
    elsewhere = keeping.destination.parent / "elsewhere"
    finish(replace(keeping, kept=(elsewhere, *keeping.kept)), opening=told.append)
    assert told == []


def test_for_a_new_winner_the_default_is_not_asked_again(
    keeping: FinishJob, default: Candidate
) -> None:
    assert keeping.default is not None
    before = finish(replace(keeping, winner=keeping.default))
    assert before.opened == {"winner": 1, "linear_probe": 1}
    told: list[str] = []
    after = finish(replace(keeping, opened=before.opened), opening=told.append)
    # all trials of a study begin from one body, a random one too: its probe is the same
    assert told == ["winner"]
    assert after.opened == {"winner": 2, "linear_probe": 1}
    assert after.baseline("default").test == before.test
    assert after.test == finish(replace(keeping, kept=())).test


@pytest.mark.parametrize("damage", ["flipped", "gone", "other_images"])
def test_what_was_kept_is_asked_again_when_it_cannot_be_trusted(
    keeping: FinishJob, damage: str
) -> None:
    first = finish(keeping)
    for file in keeping.kept[0].glob("*.npy"):
        if damage == "flipped":
            content = file.read_bytes()
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif damage == "gone":
            file.unlink()
    if damage == "other_images":
        other = replace(keeping.origin.table, fingerprint="e" * 64)
        keeping = replace(keeping, origin=replace(keeping.origin, table=other))
    again = finish(replace(keeping, opened=first.opened))
    assert again.opened == {"winner": 2, "default": 2, "linear_probe": 2}
    assert again.test == first.test
    assert _figures(again) == _figures(first)


def test_only_what_is_compared_is_kept(keeping: FinishJob, tmp_path: Path) -> None:
    finish(keeping)
    finish(replace(keeping, default=None))
    assert sorted(os.listdir(tmp_path / "test")) == [
        "linear-probe.json",
        "linear-probe.npy",
        "trial-00004.json",
        "trial-00004.npy",
    ]
