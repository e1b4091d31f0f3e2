"""Fixed values that printed texts are made from, and the texts they are compared with."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from search.study.records import FailReason, State, StudyView, TrialView

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"

SPACE = """\
study: {name: solar-cells}
data: {sample: solar-cells, max_images: 600}
epochs: {min: 1, max: 9}
space:
  backbone: [resnet50, efficientnet_lite0]
  image_size: 96
  unfreeze_depth: {int: [0, 5]}
  lr: {float: [3e-4, 3e-2], log: true}
  backbone_lr_scale: {float: [3e-3, 0.5], log: true, when: {unfreeze_depth: {min: 1}}}
  weight_decay:
    - {float: [1e-6, 1e-2], log: true, when: {backbone: [resnet50]}}
    - {float: [1e-5, 1e-1], log: true}
  augmentation: [none, light]
first: [default, {backbone: efficientnet_lite0, unfreeze_depth: 2}]
weights: {unavailable: skip}
budget: {trials: 12, minutes: 5}
"""


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with ``tests/golden/cli/NAME``.

    ``UPDATE_GOLDEN=1 pytest tests/unit/cli`` writes the files instead; read the
    difference before it is committed.
    """

    def check(name: str, text: str) -> None:
        file = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n", encoding="utf-8")
        assert text + "\n" == file.read_text(encoding="utf-8")

    return check


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in the test's own folder and keep what they keep there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEARCH_STORAGE", raising=False)
    monkeypatch.setenv("SEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    file = tmp_path / "solar.yaml"
    file.write_text(SPACE, encoding="utf-8")
    return file


def trial(
    number: int,
    state: State,
    curve: dict[int, float],
    *,
    why: str = "",
    reason: FailReason | None = None,
    **params: str | int | float,
) -> TrialView:
    """A trial of a study that maximizes; its best epoch is found in its curve."""
    best = max(curve, key=lambda epoch: (curve[epoch], -epoch)) if curve else None
    return TrialView(
        number=number,
        state=state,
        params={"backbone": "efficientnet_lite0", "image_size": 96, **params},
        curve=curve,
        best_value=None if best is None else curve[best],
        best_epoch=best,
        why=why,
        reason=reason,
        started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        ended=datetime(2026, 1, 2, 3, 4, 35, tzinfo=UTC) if state.settled else None,
        attributes={
            "seconds": 30.0,
            "parameters_trained": 1_234,
            "parameters_total": 4_651_234,
            "peak_memory_mb": 512.4,
            "host": "box",
            **({"detail": "Traceback:\n  line\x1b[2J\nValueError: no"} if reason else {}),
        },
    )


@pytest.fixture
def study() -> StudyView:
    return StudyView(
        name="solar-cells",
        objective="balanced_accuracy",
        direction="maximize",
        trials=(
            trial(0, State.COMPLETE, {1: 0.61, 2: 0.7, 3: 0.69}, unfreeze_depth=1, lr=1e-3),
            trial(
                1,
                State.PRUNED,
                {1: 0.5},
                why="rung 1: 0.500 < 0.610, the cutoff of 1 earlier trial",
                unfreeze_depth=0,
                lr=3e-4,
            ),
            trial(
                2,
                State.FAILED,
                {},
                why="loss is nan",
                reason=FailReason.DIVERGED,
                unfreeze_depth=5,
                lr=0.03,
            ),
            trial(3, State.RUNNING, {1: 0.64}, unfreeze_depth=2, lr=0.00212),
            trial(4, State.WAITING, {}, unfreeze_depth=2, lr=0.011),
        ),
        attributes={
            "seconds": 95.0,
            "space": {"budget": {"trials": 12, "minutes": 5}},
        },
    )
