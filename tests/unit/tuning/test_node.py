"""What a node makes ready for itself: in its own cache, once, and the same as the driver's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import search
from search.backbones.catalogue import CATALOGUE
from search.data.images import DecodedForm
from search.data.manifest import save_table
from search.data.prepare import prepare
from search.data.remote import fetched_folder
from search.problems import Exit, SearchError
from search.space.spec import DataSpec, WeightsFile, WeightsSpec
from search.tuning.job import Abroad, PreparedBackbone, TrialJob
from search.tuning.node import at_home, finds_word, leave_word, table_of, visit

FORM = DecodedForm(side=40, interpolation="bilinear")
MakeJob = Callable[..., TrialJob]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(6):
            pixels = np.full((20, 20, 3), 40 * index + number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def make_job(tmp_path: Path, images: Path) -> MakeJob:
    """A job as a driver with a cache of its own makes it."""

    def make(path: str = "", weights: Path | None = None) -> TrialJob:
        data = DataSpec(path=path or str(images))
        mine = tmp_path / "driver"
        ready = prepare(data, base=tmp_path, cache=mine, progress=lambda *_: None, workers=1)
        save_table(ready.table, tmp_path / "shared/table.json")
        name = "mobilenet_v3_small"
        files = () if weights is None else ((name, WeightsFile(file=str(weights))),)
        backbone = PreparedBackbone(
            name=name,
            weights=None if weights is None else str(weights),
            sha256="" if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest(),
            preprocessing=CATALOGUE[name].preprocessing,
        )
        return TrialJob(
            table=str(tmp_path / "shared/table.json"),
            trials=str(tmp_path / "shared/trials"),
            cache=str(mine),
            cache_bytes=None,
            boundaries=(),
            run="run-1",
            backbones=(backbone,),
            objective="accuracy",
            maximize=True,
            threads=1,
            device="cpu",
            abroad=Abroad(
                data=data,
                weights=WeightsSpec(source="random", files=files),
                cache=None,
                forms=(FORM,),
            ),
        )

    return make


def env_of(cache: Path) -> dict[str, str]:
    return {"SEARCH_CACHE": str(cache)}


@pytest.mark.slow
def test_a_node_uses_its_own_cache_and_its_own_copies(
    make_job: MakeJob, images: Path, tmp_path: Path
) -> None:
    job = make_job(f"file://{images}")
    cache = tmp_path / "node"
    here = at_home(job, env=env_of(cache))
    assert here.cache == str(cache)
    assert table_of(job).root == fetched_folder(f"file://{images}", tmp_path / "driver")
    assert table_of(here).root == fetched_folder(f"file://{images}", cache)
    assert all(table_of(here).absolute(row).is_file() for row in table_of(here).rows)
    assert len(list(cache.glob("decoded/*.u8"))) == 1
    assert str(tmp_path / "driver") not in str(here)


@pytest.mark.slow
def test_it_is_made_ready_once_for_all_workers_of_a_run(
    make_job: MakeJob, images: Path, tmp_path: Path
) -> None:
    job = make_job(f"file://{images}")
    said: list[str] = []

    def go(job: TrialJob) -> TrialJob:
        return at_home(
            job, env=env_of(tmp_path / "node"), progress=lambda what, *_: said.append(what)
        )

    first = go(job)
    assert "fetching images" in said
    said.clear()
    assert go(job) == first
    assert said == []
    go(replace(job, run="run-2"))  # another run looks at the server again
    assert "listing images" in said


@pytest.mark.slow
def test_where_there_is_no_cluster_a_job_stays_as_it_is(make_job: MakeJob) -> None:
    job = replace(make_job(), abroad=None)
    assert at_home(job, env={}) is job


@pytest.mark.slow
def test_a_folder_that_a_node_does_not_have_is_named(
    make_job: MakeJob, images: Path, tmp_path: Path
) -> None:
    job = make_job()
    images.rename(tmp_path / "elsewhere")
    with pytest.raises(SearchError, match="is not there") as caught:
        at_home(job, env=env_of(tmp_path / "node"))
    assert caught.value.status is Exit.DATA
    assert str(images) in str(caught.value)


@pytest.mark.slow
def test_weights_other_than_the_drivers_are_refused(make_job: MakeJob, tmp_path: Path) -> None:
    weights = tmp_path / "shared/weights.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"these")
    job = make_job(weights=weights)
    assert at_home(job, env=env_of(tmp_path / "one")).backbones[0].weights == str(weights)
    weights.write_bytes(b"others")
    with pytest.raises(SearchError, match="holds other weights") as caught:
        at_home(job, env=env_of(tmp_path / "two"))
    assert caught.value.status is Exit.MISSING


def test_driver_and_node_find_each_others_word(tmp_path: Path) -> None:
    leave_word(tmp_path, "driver", "token")
    seen = visit(tmp_path, drivers="driver", own="node", token="token")
    assert (seen.version, seen.trouble) == (search.__version__, "")
    assert finds_word(tmp_path, "node", "token")
    assert not finds_word(tmp_path, "node", "of another run", late=0)


def test_a_node_that_sees_another_folder_says_so_and_makes_none(tmp_path: Path) -> None:
    words = tmp_path / "tiny/.words"
    seen = visit(words, drivers="driver", own="node", token="token", late=0)
    assert seen.trouble == f"does not see what this command writes to {tmp_path}/tiny"
    assert not words.parent.exists()
    leave_word(words, "driver", "of another run")
    assert visit(words, drivers="driver", own="node", token="token", late=0).trouble


def test_a_node_that_cannot_write_says_why(tmp_path: Path) -> None:
    words = tmp_path / "tiny/.words"
    leave_word(words, "driver", "token")
    (words / "node").mkdir()  # no file can take its place
    seen = visit(words, drivers="driver", own="node", token="token")
    assert seen.trouble.startswith(f"cannot write to {tmp_path}/tiny: ")
