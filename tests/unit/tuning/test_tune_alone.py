"""Ray Tune is imported without pandas and Ray Data, which are there as soon as they are used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # each starts a Python that imports Ray Tune


def _said(program: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def test_what_tune_runs_with_is_there_and_the_libraries_for_tables_are_not() -> None:
    loaded = _said("""
import json, sys
from search.tuning.tune_alone import import_tune
import_tune()
import search.tuning.asha, search.tuning.deaths, search.tuning.hanging
import search.tuning.searcher, search.tuning.stopper, search.tuning.trainable
with sys.modules["ray.tune.execution.experiment_state"].out_of_band_serialize_dataset():
    pass  # what Tune does whenever it saves its state
names = ("ray.tune.tuner", "pandas", "ray.data")
print(json.dumps([name for name in names if name in sys.modules]))
""")
    assert loaded == ["ray.tune.tuner"]


def test_whoever_asks_for_them_gets_them() -> None:
    shape, same, whose = _said("""
import json
from search.tuning.tune_alone import import_tune
import_tune()
from ray.tune import result_grid
frame = result_grid.pd.DataFrame({"a": [1, 2]})
import pandas, ray.data
print(json.dumps([frame.shape, isinstance(frame, pandas.DataFrame), ray.data.Dataset.__module__]))
""")  # type: ignore[misc]
    assert shape == [2, 1]
    assert same
    assert whose == "ray.data.dataset"


def test_pandas_that_is_there_already_stays() -> None:
    assert _said("""
import json, pandas
from search.tuning.tune_alone import import_tune
import_tune()
from ray.tune import result_grid
print(json.dumps(result_grid.pd is pandas))
""")
