"""How a run ends, on paper."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.cli.final_view import Baseline, Best, FinalDocument, final_lines, to_json
from search.cli.measures_view import class_lines, confusion_lines, difference, with_interval
from search.export.measuring import measure
from search.export.report import Comparison, Interval, TestResult
from search.study.records import State

CLASSES = ("defective", "sound")


def result(seed: int, *, skill: float, classes: tuple[str, ...] = CLASSES) -> TestResult:
    """Measures of made-up probabilities: ``skill`` of 0 guesses."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(120) % len(classes)
    probabilities_NK = rng.random((120, len(classes)))
    probabilities_NK[np.arange(120), labels_N] += skill
    probabilities_NK /= probabilities_NK.sum(axis=1, keepdims=True)
    return measure(probabilities_NK, labels_N, classes, seed=0, resamples=200)


def comparison(low: float, high: float) -> Comparison:
    return Comparison(
        metric="balanced_accuracy",
        difference=(low + high) / 2,
        interval=Interval(low=low, high=high),
    )


@pytest.fixture
def document() -> FinalDocument:
    return FinalDocument(
        study="solar-cells",
        objective="balanced_accuracy",
        counts={State.COMPLETE: 7, State.PRUNED: 4, State.FAILED: 1},
        best=Best(
            trial=7,
            state=State.COMPLETE,
            value=0.8423,
            epoch=6,
            params={"lr": 0.00312, "backbone": "efficientnet_lite0", "unfreeze_depth": 2},
            test=result(0, skill=0.6),
        ),
        baselines=(
            Baseline(
                name="default", test=result(1, skill=0.5), comparison=comparison(-0.011, 0.055)
            ),
            Baseline(
                name="linear_probe",
                test=result(2, skill=0.3),
                comparison=comparison(0.021, 0.091),
            ),
        ),
        storage="sqlite:////home/me/studies/studies.db",
        seconds=192.4,
        export=Path("studies/solar-cells/export"),
        runner_up=3,
    )


@pytest.mark.parametrize(
    ("width", "name"),
    [
        pytest.param(80, "final_80.txt", id="terminal_of_80"),
        pytest.param(120, "final_120.txt", id="terminal_of_120"),
        pytest.param(None, "final_120.txt", id="pipe"),
    ],
)
def test_the_end_of_a_run(
    document: FinalDocument, width: int | None, name: str, golden: Callable[[str, str], None]
) -> None:
    lines = final_lines(document, width=width)
    assert max(map(len, lines)) <= (width or 120)
    golden(name, "\n".join(lines))


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_end_fits_its_terminal_and_breaks_no_number(
    document: FinalDocument, width: int
) -> None:
    names = tuple(f"a class with a long name {number}" for number in range(10))
    assert document.best is not None
    best = replace(
        document.best,
        state=State.PRUNED,
        params={**document.best.params, **{f"a_long_setting_{n}": 0.000123 for n in range(9)}},
        test=result(3, skill=0.4, classes=names),
    )
    long = replace(document, study="s" * 60, best=best)
    lines = final_lines(long, width=width)
    commands = [text for text in lines if text.startswith("  search ")]
    assert len(commands) == 4
    assert max(len(text) for text in lines if text not in commands) <= width
    assert sum(text.count("0.000123") for text in lines) == 9
    export = f"  search export {'s' * 60} --trial 3"
    assert any(text.startswith(export) for text in commands)


def test_a_difference_says_what_to_make_of_it() -> None:
    assert difference(comparison(-0.011, 0.055)) == ("+0.022 [-0.011, +0.055]", "within noise")
    assert difference(comparison(0.01, 0.03))[1] == "better"
    assert difference(comparison(-0.03, -0.01))[1] == "worse"


def test_a_difference_in_a_small_unit_keeps_its_digits() -> None:
    small = Comparison(
        metric="mae", difference=-2e-12, interval=Interval(low=-3e-12, high=1.25e-13)
    )
    assert difference(small) == ("-2e-12 [-3e-12, +1.25e-13]", "within noise")


@pytest.mark.parametrize("width", [80, None])
def test_a_class_with_few_test_images_leaves_no_flat_verdict(
    document: FinalDocument, width: int | None
) -> None:
    assert document.best is not None
    assert document.best.test is not None
    test = document.best.test
    few = (replace(test.classes[0], support=9), *test.classes[1:])
    scarce = replace(document, best=replace(document.best, test=replace(test, classes=few)))
    lines = final_lines(scarce, width=width)
    assert width is None or max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "+0.056 [+0.021, +0.091] better on these 120 test images, too few to be sure" in text
    assert "+0.022 [-0.011, +0.055] within noise" in text
    assert "1 of 2 classes have fewer than 10 test images (the fewest: 9)" in text


@pytest.mark.parametrize("width", [80, None])
def test_nothing_is_said_of_intervals_where_none_is_shown(
    document: FinalDocument, width: int | None
) -> None:
    # one test image a class: resampling within the class draws the same images again
    names = tuple(f"class {number}" for number in range(30))
    rng = np.random.default_rng(0)
    best, other = (
        measure(rng.dirichlet(np.ones(30), size=30), np.arange(30), names, seed=0, resamples=50)
        for _ in range(2)
    )
    assert document.best is not None
    alone = replace(
        document,
        best=replace(document.best, test=best),
        baselines=(Baseline(name="default", test=other, comparison=comparison(0.0, 0.0)),),
    )
    text = " ".join(" ".join(final_lines(alone, width=width)).split())
    assert "interval" not in text
    assert "(the fewest: 1): too few to say how far these figures can be relied on" in text


def test_a_second_model_is_offered_where_its_weights_are_kept(document: FinalDocument) -> None:
    assert any(
        "search export solar-cells --trial 3" in line for line in final_lines(document, width=80)
    )
    alone = final_lines(replace(document, runner_up=None), width=80)
    assert not any("search export" in line for line in alone)


def test_a_winner_at_default_settings_is_not_compared_with_itself(
    document: FinalDocument,
) -> None:
    same = replace(document.baselines[0], comparison=None)
    lines = final_lines(replace(document, baselines=(same,)), width=80)
    assert any("best is default" in line for line in lines)
    assert not any("minus default" in line for line in lines)


def test_a_pruned_winner_is_said_to_be_one(document: FinalDocument) -> None:
    assert document.best is not None
    pruned = replace(document, best=replace(document.best, state=State.PRUNED))
    assert any("no trial completed" in line for line in final_lines(pruned, width=80))


def test_the_time_of_the_command_is_said_beside_that_of_the_trials(
    document: FinalDocument,
) -> None:
    heading = final_lines(replace(document, command=278.0), width=None)[1]
    assert heading.endswith(" in 3 min 12 s; this command took 4 min 38 s")


def test_without_a_best_there_is_no_model_to_use(document: FinalDocument) -> None:
    empty = replace(document, best=None, baselines=(), export=None)
    text = "\n".join(final_lines(empty, width=80))
    assert "no trial has a value, so there is no best model" in text
    assert "search predict" not in text
    assert to_json(empty)["best"] is None


def test_the_document_has_the_promised_keys(document: FinalDocument) -> None:
    found = json.loads(json.dumps(to_json(replace(document, command=277.96)), allow_nan=False))
    usual = {"study", "counts", "best", "baselines", "storage", "seconds", "command_seconds"}
    assert set(found) == usual
    assert found["command_seconds"] == 278.0
    assert set(found["counts"]) == {"complete", "pruned", "failed", "running", "waiting"}
    assert set(found["best"]) == {"trial", "value", "epoch", "params", "test"}
    assert 0 < found["best"]["test"]["balanced_accuracy"] < 1
    assert set(found["baselines"]) == {"default", "linear_probe"}


def test_many_classes_are_shown_by_their_worst() -> None:
    names = tuple(f"class {number:02}" for number in range(40))
    many = result(0, skill=0.4, classes=names)
    rows = class_lines(many)
    assert len(rows) == 1 + 30 + 1  # heading, rows, what was left out
    assert rows[-1].startswith("and 10 more whose recall is no lower")
    assert confusion_lines(many, width=None)[0] == "commonest confusions"


def test_hostile_class_names_are_escaped_and_cut() -> None:
    hostile = ("\x1b[31mred\n", "[bold]" + "x" * 100)
    text = "\n".join(
        [
            *class_lines(result(0, skill=0.4, classes=hostile)),
            *confusion_lines(result(0, skill=0.4, classes=hostile), width=80),
        ]
    )
    assert "\x1b" not in text
    assert "\\x1b[31mred\\n" in text
    assert max(map(len, text.splitlines())) < 80


def test_an_undefined_metric_is_a_dash() -> None:
    known = result(0, skill=0.4)
    undefined = replace(known, metrics={**known.metrics, "auroc": float("nan")})
    assert with_interval(undefined, "auroc") == "-"
