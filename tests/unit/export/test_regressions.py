"""The linear models of the probe."""

from __future__ import annotations

import warnings

import numpy as np

from search.export.regressions import fitted


def test_as_many_classes_as_images_are_learnt_without_a_word() -> None:
    rng = np.random.default_rng(0)
    features_NF = rng.standard_normal((30, 8)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        says = fitted("multiclass", features_NF, np.arange(30), outputs=30, c=1.0)
        assert says(features_NF).shape == (30, 30)
