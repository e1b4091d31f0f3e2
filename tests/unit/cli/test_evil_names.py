"""Class names that want to be obeyed are shown: from the data to the last output."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.backbones.arguments import constructor_arguments
from search.backbones.catalogue import CATALOGUE
from search.cli.final_view import Best, FinalDocument, final_lines
from search.cli.predict import document, lines, write_csv
from search.data.images import ImageTable
from search.data.manifest import load_table, save_table
from search.data.prepare import prepare
from search.export.card import card
from search.export.contents import Architecture, ModelInfo, to_document
from search.export.measuring import measure
from search.export.predict import Prediction
from search.export.reading import read_info
from search.export.report import TestResult
from search.space.spec import DataSpec
from search.study.records import State

EVIL = (
    "<b>x</b>",
    "[red]x[/red]",
    "\x1b[2J\x1b]0;owned\x07",
    "../x",
    'it\'s "quoted"',
    "n" * 200,
    "🦊 fox",
    "=HYPERLINK(0)",
    "| [a](http://b) |",
    "right\u202eleft",
)
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ImageTable:
    """Images of every such class, through the checks and the saved table."""
    folder = tmp_path_factory.mktemp("evil")
    rng = np.random.default_rng(0)
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for label, name in enumerate(EVIL):
            for number in range(4):
                path = f"{label}-{number}.png"
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / path)
                writer.writerow([path, name])
    prepared = prepare(
        DataSpec(manifest="list.csv"),
        base=folder,
        cache=folder / "cache",
        progress=lambda *_: None,
        workers=1,
    )
    save_table(prepared.table, folder / "images.json")
    return load_table(folder / "images.json")


@pytest.fixture(scope="module")
def figures(table: ImageTable) -> TestResult:
    rng = np.random.default_rng(0)
    labels_N = np.arange(60) % len(table.classes)
    scores_NK = rng.random((60, len(table.classes)))
    found_NK = scores_NK / scores_NK.sum(axis=1, keepdims=True)
    return measure(found_NK, labels_N, table.classes, seed=0, resamples=50)


def _harmless(text: str) -> None:
    assert not HIDDEN.search(text)
    assert "owned" in text  # it is shown, not dropped


@pytest.mark.slow
def test_every_name_comes_through_the_data_exactly(table: ImageTable) -> None:
    assert table.classes == tuple(sorted(EVIL))
    assert set(table.counts().values()) != {0}


@pytest.mark.slow
@pytest.mark.parametrize("width", [None, 80])
def test_the_final_report_shows_them_as_they_are(figures: TestResult, width: int | None) -> None:
    best = Best(
        trial=0, state=State.COMPLETE, value=0.5, epoch=1, params={"lr": 1e-3}, test=figures
    )
    final = FinalDocument(
        study="evil",
        objective="accuracy",
        counts={State.COMPLETE: 1},
        best=best,
        baselines=(),
        storage="sqlite:///studies/studies.db",
        seconds=1.0,
    )
    text = "\n".join(final_lines(final, width=width))
    _harmless(text)
    assert "[red]x[/red]" in text  # not markup that colours what follows
    assert "\\x1b[2J" in text
    assert "\\u202e" in text


def _info(table: ImageTable, test: TestResult) -> ModelInfo:
    name = "resnet18"
    return ModelInfo(
        architecture=Architecture(
            backbone=name,
            library="torchvision",
            library_name=CATALOGUE[name].library_name,
            arguments=constructor_arguments(name, classes=len(table.classes), image_size=32),
            image_size=32,
        ),
        labels=table.classes,
        preprocessing=CATALOGUE[name].preprocessing,
        study="evil",
        trial=0,
        objective="accuracy",
        params={"lr": 1e-3},
        epoch=1,
        validation=dict(test.metrics),
        images={"train": 20, "val": 10, "test": 10},
        test=test,
        measured_on="cpu",
        fingerprint=table.fingerprint,
        start="random",
        start_sha256="",
        versions={"torch": "2"},
        licences=(),
    )


@pytest.mark.slow
def test_the_card_holds_no_tag_no_link_and_no_broken_table(
    table: ImageTable, figures: TestResult, tmp_path: Path
) -> None:
    info = _info(table, figures)
    text = card(info)
    _harmless(text)
    assert "<b>" not in text
    assert "](http" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert all(len({row.count("|") for row in block.splitlines()}) == 1 for block in blocks)
    (tmp_path / "model.json").write_text(json.dumps(to_document(info, sha256="0" * 64)))
    assert read_info(tmp_path / "model.json")[0].labels == table.classes


def test_predictions_show_them_and_a_spreadsheet_runs_nothing(
    table: ImageTable, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        Prediction(path=Path(name) / "a.png", label=name, probability=0.5, probabilities=(0.5,))
        for name in table.classes
    ]
    text = "\n".join(lines(found))
    _harmless(text)
    assert "[red]x[/red]" in text
    write_csv(found)
    written = capsys.readouterr().out
    _harmless(written)
    rows = list(csv.DictReader(io.StringIO(written)))
    assert len(rows) == len(EVIL)
    assert not [row for row in rows if row["label"][:1] in ("=", "+", "-", "@", "|")]
    printed = json.dumps(document(Path("m"), table.classes, found))
    _harmless(printed)
    assert json.loads(printed)["labels"] == list(table.classes)


def test_an_unreadable_image_of_such_a_name_is_shown_too() -> None:
    bad = Prediction(
        path=Path("\x1b[2Jowned.png"), label="", probability=0.0, probabilities=(), error="no"
    )
    _harmless("\n".join(lines([bad, replace(bad, error="\x1b[31mred")])))
