"""What a folder says of the study that it belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.study.owner import FolderOwner, another_name, owner_of, storage_named, take_folder

FIRST = FolderOwner(uuid="1" * 32, study="flowers", storage="sqlite:////a.db")
SECOND = FolderOwner(uuid="2" * 32, study="flowers", storage="sqlite:////b.db")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqlite:////data/studies.db", "sqlite:////data/studies.db"),
        ("postgresql://me:secret@host:5433/db", "postgresql://me@host:5433/db"),
        ("postgresql+psycopg://me:a%40b:c@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db"),
    ],
)
def test_a_storage_is_named_without_a_password(url: str, named: str) -> None:
    assert storage_named(url) == named


def test_a_relative_file_is_named_so_that_it_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage_named("sqlite:///studies.db") == f"sqlite:///{tmp_path}/studies.db"


def test_who_took_a_folder_first_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "flowers"
    assert owner_of(folder) is None
    assert take_folder(folder, FIRST) == FIRST
    assert take_folder(folder, SECOND) == FIRST
    assert owner_of(folder) == FIRST


@pytest.mark.parametrize("content", ["", "{", "[]", '{"uuid": "a"}', "\xff"])
def test_a_damaged_file_names_nobody_and_stays(tmp_path: Path, content: str) -> None:
    (tmp_path / "owner.json").write_text(content, encoding="latin-1")
    owner = take_folder(tmp_path, FIRST)
    assert owner.uuid == ""
    assert (tmp_path / "owner.json").read_text(encoding="latin-1") == content


def test_another_name_is_the_next_that_is_free() -> None:
    assert another_name("flowers", ()) == "flowers-2"
    assert another_name("flowers", {"flowers-2"}) == "flowers-3"
    assert another_name("flowers-7", ()) == "flowers-8"
