"""Samples: labelled photographs that an optional package ships (extra ``demo``).

The package's files are found without importing it, and read as they are.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from search.data.listing import Found, Listing
from search.problems import Exit, did_you_mean, fail
from search.space.spec import Task

SAMPLES = ("solar-cells",)
"""Names that ``data.sample`` may have."""

SOLAR_CELLS_LICENCE = (
    "solar-cells: photographs of the elpv-dataset (Buerhop-Lutz et al. 2018; Deitsch et al. "
    "2019, 2021), licence CC-BY-NC-SA-4.0: not for commercial use"
)
_PACKAGE = "elpv_dataset"


def list_sample(name: str, *, task: Task = "multiclass") -> Listing:
    """The images of a sample.

    The solar cells have a label for every task: ``defective`` or ``sound``; whether
    ``defective``, and which type of module; the probability of a defect, 0 to 1.

    Raises:
        SearchError: Exit.USAGE if there is no such sample; Exit.MISSING if its
            package is not installed or not whole.
    """
    if name not in SAMPLES:
        near = did_you_mean(name, SAMPLES)
        raise fail(f"there is no sample {name!r}", fix=near or f"one of {', '.join(SAMPLES)}")
    root = _solar_cells_folder()
    try:
        text = (root / "labels.csv").read_text(encoding="utf-8")
        # "images/cell0001.png  1.0   mono": path, probability of a defect, type of module
        rows = [line.split() for line in text.splitlines()]
        images = [_found(row[0], float(row[1]), row[2], task) for row in rows]
    except (OSError, ValueError, IndexError) as error:
        raise fail(
            f"the package elpv-dataset in {root} is not whole: {error}",
            fix="pip install --force-reinstall elpv-dataset",
            status=Exit.MISSING,
        ) from error
    return Listing(
        root=root,
        images=tuple(sorted(images, key=lambda image: image.path)),
        licence=SOLAR_CELLS_LICENCE,
    )


def _found(path: str, defect: float, module: str, task: Task) -> Found:
    defective = defect > 0.5
    if task == "regression":
        return Found(path=path, label=f"{defect:g}", value=defect)
    if task == "multilabel":
        labels = tuple(sorted([module, *(["defective"] if defective else [])]))
        return Found(path=path, label="|".join(labels), labels=labels)
    return Found(path=path, label="defective" if defective else "sound")


def _solar_cells_folder() -> Path:
    """Published rule of its authors' own loader: the labels lie beside the images."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise fail(
            "the sample solar-cells needs the package elpv-dataset, which is not installed",
            fix="pip install 'finetune-search[demo]'",
            status=Exit.MISSING,
        )
    return Path(found.submodule_search_locations[0]).resolve() / "data"
