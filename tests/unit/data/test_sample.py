"""The sample as its package ships it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from search.data.sample import SAMPLES, list_sample
from search.problems import Exit, SearchError


def test_solar_cells_has_1803_sound_and_821_defective_photographs() -> None:
    pytest.importorskip("elpv_dataset")
    listing = list_sample("solar-cells")
    # probabilities 0: 1508, 1/3: 295 | 2/3: 106, 1: 715
    assert Counter(image.label for image in listing.images) == {"sound": 1803, "defective": 821}
    assert all((listing.root / image.path).is_file() for image in listing.images)
    assert "CC-BY-NC-SA-4.0" in listing.licence


def test_the_package_is_read_without_being_imported() -> None:
    pytest.importorskip("elpv_dataset")
    code = (
        "import sys; from search.data.sample import list_sample;"
        "n = len(list_sample('solar-cells').images);"
        "print(n, *({'elpv_dataset', 'numpy', 'PIL', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2624"]


def test_a_missing_package_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "elpv_dataset", raising=False)
    with pytest.raises(SearchError, match="elpv-dataset, which is not installed") as caught:
        list_sample("solar-cells")
    assert caught.value.status is Exit.MISSING
    assert caught.value.problems[0].fix == "pip install 'finetune-search[demo]'"


def test_a_package_that_is_not_whole_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elpv_dataset").mkdir()
    (tmp_path / "elpv_dataset" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "elpv_dataset", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SearchError, match="is not whole") as caught:
        list_sample("solar-cells")
    assert caught.value.status is Exit.MISSING


def test_an_unknown_sample_gets_the_name_it_is_like() -> None:
    with pytest.raises(SearchError, match="solar-cell'") as caught:
        list_sample("solar-cell")
    assert caught.value.problems[0].fix == "solar-cells"
    assert SAMPLES == ("solar-cells",)


def test_the_solar_cells_have_a_label_for_every_task() -> None:
    several = list_sample("solar-cells", task="multilabel").images
    numbers = list_sample("solar-cells", task="regression").images
    one = list_sample("solar-cells").images
    assert {name for image in several for name in image.labels or ()} == {
        "defective",
        "mono",
        "poly",
    }
    for label, labels, value in zip(one, several, numbers, strict=True):
        assert value.value is not None
        assert (label.label == "defective") == ("defective" in (labels.labels or ()))
        assert (label.label == "defective") == (value.value > 0.5)
