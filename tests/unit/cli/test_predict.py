"""What ``search predict`` prints. The model itself is tested with ``export``."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from search.cli.predict import document, lines, progress_on, write_csv
from search.data.targets import Scale
from search.export.learns import Learns
from search.export.predict import Prediction

FINE = Prediction(path=Path("a/rose.jpg"), label="rose", probability=0.9, probabilities=(0.1, 0.9))
HOSTILE = Prediction(
    path=Path("=cmd|'x'!A1.jpg"), label="\x1b[2J@sum", probability=0.5, probabilities=(0.5, 0.5)
)
BROKEN = Prediction(
    path=Path("b.png"), label="", probability=0.0, probabilities=(), error="truncated"
)


def test_lines_are_aligned_and_say_why_an_image_was_not_read() -> None:
    assert lines([FINE, BROKEN]) == [
        "image       label  probability",
        "a/rose.jpg  rose   0.900",
        "b.png       unreadable: truncated",
    ]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_job_says_how_far_it_is_and_a_short_one_is_quiet() -> None:
    for step, said in ((1.0, ""), (6.0, "1/3 images\n2/3 images\n3/3 images\n")):
        clock, out = iter(step * tick for tick in range(20)), io.StringIO()
        with progress_on(out, now=lambda clock=clock: next(clock)) as tell:  # type: ignore[misc]
            for done in (1, 2, 3):
                tell(done, 3)
        assert out.getvalue() == said


def test_a_terminal_has_a_bar() -> None:
    out = _Terminal()
    with progress_on(out, now=lambda: 0.0) as tell:
        tell(2, 3)
    assert "2/3" in out.getvalue()


def test_csv_runs_no_formula_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv([FINE, HOSTILE, BROKEN])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["path", "label", "probability", "error"]
    assert rows[1] == ["a/rose.jpg", "rose", "0.900000", ""]
    assert rows[2][0].startswith("'=")
    assert "\x1b" not in rows[2][1]
    assert rows[3] == ["b.png", "", "", "truncated"]


def test_the_document_has_null_where_there_is_no_answer() -> None:
    found = document(Path("export"), ("daisy", "rose"), [FINE, BROKEN])
    assert found["labels"] == ["daisy", "rose"]
    assert found["predictions"] == [
        {
            "path": "a/rose.jpg",
            "label": "rose",
            "probability": 0.9,
            "probabilities": [0.1, 0.9],
            "error": None,
        },
        {
            "path": "b.png",
            "label": None,
            "probability": None,
            "probabilities": [],
            "error": "truncated",
        },
    ]


SEVERAL = Learns(task="multilabel", thresholds=(0.5, 0.3))
BOTH = Prediction(path=Path("a.jpg"), labels=("cat", "dog"), probabilities=(0.9, 0.4))
NEITHER = Prediction(path=Path("b.jpg"), labels=(), probabilities=(0.1, 0.1))
NUMBER = Learns(task="regression", scale=Scale(mean=10.0, std=2.0), unit="kg")
HEAVY = Prediction(path=Path("a.jpg"), value=-12.345678)
UNREAD = Prediction(path=Path("c.jpg"), error="truncated")


def test_several_classes_of_an_image_are_written_as_a_manifest_has_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lines([BOTH, NEITHER, UNREAD], SEVERAL) == [
        "image  labels",
        "a.jpg  cat|dog",
        "b.jpg  -",
        "c.jpg  unreadable: truncated",
    ]
    write_csv([BOTH, NEITHER, UNREAD], SEVERAL)
    assert capsys.readouterr().out.splitlines() == [
        "path,labels,error",
        "a.jpg,cat|dog,",
        "b.jpg,,",
        "c.jpg,,truncated",
    ]
    found = document(Path("export"), ("cat", "dog"), [BOTH, UNREAD], SEVERAL)
    assert (found["task"], found["thresholds"]) == ("multilabel", [0.5, 0.3])
    assert found["predictions"] == [
        {"path": "a.jpg", "labels": ["cat", "dog"], "probabilities": [0.9, 0.4], "error": None},
        {"path": "c.jpg", "labels": None, "probabilities": [], "error": "truncated"},
    ]


def test_a_number_comes_in_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines([HEAVY, UNREAD], NUMBER) == [
        "image  value (kg)",
        "a.jpg  -12.346",
        "c.jpg  unreadable: truncated",
    ]
    write_csv([HEAVY, UNREAD], NUMBER)
    assert capsys.readouterr().out.splitlines() == [
        "path,value,error",
        "a.jpg,-12.346,",
        "c.jpg,,truncated",
    ]
    found = document(Path("export"), (), [HEAVY, UNREAD], NUMBER)
    assert (found["task"], found["unit"]) == ("regression", "kg")
    assert found["predictions"] == [
        {"path": "a.jpg", "value": -12.345678, "error": None},
        {"path": "c.jpg", "value": None, "error": "truncated"},
    ]


@pytest.mark.parametrize(
    ("value", "mean", "std", "written"),
    [
        pytest.param(1_700_000_002.1254, 1.7e9, 2.0, "1700000002.125", id="far_from_0"),
        pytest.param(312_345.6, 3e5, 1e5, "312346", id="wide"),
        pytest.param(-0.0001, 0.0, 2.0, "0.000", id="rounded_to_0"),
        pytest.param(1.2345e-7, 0.0, 3e-8, "0.00000012345", id="small"),
        pytest.param(1.23456e-90, 0.0, 2e-91, "1.2346e-90", id="very_small"),
        pytest.param(1.25e99, 0.0, 1e99, "1.25e+99", id="very_large"),
        pytest.param(0.0, 0.0, 1e-90, "0", id="zero"),
    ],
)
def test_the_decimals_of_a_number_follow_the_spread_of_the_values_learnt(
    value: float, mean: float, std: float, written: str
) -> None:
    learns = Learns(task="regression", scale=Scale(mean=mean, std=std))
    assert lines([Prediction(path=Path("a.jpg"), value=value)], learns)[1] == f"a.jpg  {written}"
