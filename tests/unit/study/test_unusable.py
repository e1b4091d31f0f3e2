"""SQLite files that cannot be used: what is said of each, by reading and by opening."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.study import StudyDirection

from search.problems import Exit, SearchError
from search.study.storage import connect, connect_read_only
from search.study.transactions import closed
from search.study.views import list_studies

NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may enter (pytest's own are closed to others)."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def without_rights() -> Iterator[None]:
    """As somebody whom permissions bind, also where tests are run by root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def study_file(path: Path) -> bytes:
    """Make a real study there; its bytes."""
    storage = connect(f"sqlite:///{path}")
    storage.create_new_study([StudyDirection.MAXIMIZE], "one")
    closed(storage)
    return path.read_bytes()


def _folder(path: Path) -> None:
    path.mkdir()


def _text(path: Path) -> None:
    path.write_text("not a database, but long enough to be read as one\n" * 50)


def _damaged(path: Path) -> None:
    whole = study_file(path)
    path.write_bytes(whole[:4096] + bytes(number % 251 for number in range(len(whole) - 4096)))


def _cut(path: Path) -> None:
    whole = study_file(path)
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.slow
@pytest.mark.parametrize("read", [list_studies, connect_read_only])
@pytest.mark.parametrize(
    ("made", "fact", "fix"),
    [
        pytest.param(_folder, "{} is a folder, not a file", "sqlite:///{}/studies.db", id="folder"),
        pytest.param(_text, "{} is not a SQLite database", "another file", id="no_database"),
        pytest.param(_damaged, "{} is damaged: ", "sqlite3 {} .recover", id="damaged"),
        pytest.param(_cut, "{} is damaged: ", "sqlite3 {} .recover", id="cut_short"),
    ],
)
def test_is_named_with_its_path_and_a_fix(
    read: Callable[[str], object], made: Callable[[Path], None], fact: str, fix: str, tmp_path: Path
) -> None:
    path = tmp_path / "studies.db"
    made(path)
    with pytest.raises(SearchError) as caught:
        read(f"sqlite:///{path}")
    assert caught.value.status is Exit.STORAGE
    (problem,) = caught.value.problems
    assert problem.fact.startswith(f"storage {fact.format(path)}")
    assert fix.format(path) in problem.fix


def test_a_folder_is_refused_by_who_would_write_to_it_too(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is a folder, not a file"):
        connect(f"sqlite:///{tmp_path}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "closed_one",
    [pytest.param("studies.db", id="the_file"), pytest.param(".", id="its_folder")],
)
def test_one_that_may_not_be_read_is_named(open_folder: Path, closed_one: str) -> None:
    folder = open_folder / "studies"
    folder.mkdir()
    study_file(folder / "studies.db")
    (folder / closed_one).chmod(0)
    try:
        with without_rights(), pytest.raises(SearchError) as caught:
            list_studies(f"sqlite:///{folder}/studies.db")
    finally:
        (folder / closed_one).chmod(0o700)
    assert caught.value.status is Exit.STORAGE
    assert caught.value.problems[0].fact == (
        f"storage {folder}/studies.db may not be read: permission denied"
    )
    assert f"ls -l {folder}/studies.db" in caught.value.problems[0].fix


def test_one_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    assert list_studies(f"sqlite:///{tmp_path}/none/studies.db") == ()
