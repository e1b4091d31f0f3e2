"""``extends``: presets by their name, and other space files by their path."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.extended import fetch, presets
from search.cli.options import SpaceFlags
from search.cli.space_file import load_space
from search.problems import Exit, SearchError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["preset/balanced", "preset/small-data"])
def test_a_preset_stands_the_check_alone_and_extended(tmp_path: Path, name: str) -> None:
    """Alone nothing of it is void: no branch that is never used, no doubled condition."""
    assert presets()[name].startswith("For ")
    data = "\ndata: {sample: solar-cells}\n"
    alone = load_space(Path("p.yaml"), SpaceFlags(), env={}, text=fetch(name).text.decode() + data)
    extended = load_space(Path("p.yaml"), SpaceFlags(), env={}, text=f"extends: {name}{data}")
    assert alone.spec.space.params == extended.spec.space.params
    assert alone.spec == extended.spec


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(SearchError, match="fix: preset/small-data"):
        fetch("preset/smal-data")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("x" * 5000, "cannot be read: file name too long", id="long"),
        pytest.param("~nobody-of-this-name/x", "no such file", id="no_home"),
        pytest.param('"a\\0b"', "no such file", id="nul"),
        pytest.param("/dev/zero", "more than 100,000 characters", id="endless"),
        pytest.param(".", "a folder, not a space file", id="folder"),
        pytest.param("preset/../pyproject", "there is no preset", id="out_of_the_presets"),
    ],
)
def test_a_hostile_name_is_an_error_at_its_place(name: str, said: str) -> None:
    text = f"extends: {name}\ndata: {{sample: solar-cells}}\n"
    with pytest.raises(SearchError, match=said) as caught:
        load_space(Path("p.yaml"), SpaceFlags(), env={}, text=text)
    assert all(problem.place for problem in caught.value.problems)
    assert caught.value.status is Exit.USAGE


def test_a_file_extends_another_by_its_path_and_itself_by_none(tmp_path: Path) -> None:
    Path("base.yaml").write_text("data: {path: x}\nspace: {lr: [1e-3, 1e-2]}")
    Path("mine.yaml").write_text("extends: base.yaml")
    assert load_space(Path("mine.yaml"), SpaceFlags(), env={}, images=False).extends == (
        "base.yaml",
    )
    Path("base.yaml").write_text(f"extends: {tmp_path}/mine.yaml")
    with pytest.raises(SearchError, match=r"files extend each other: mine\.yaml -> base\.yaml"):
        load_space(Path("mine.yaml"), SpaceFlags(), env={}, images=False)
