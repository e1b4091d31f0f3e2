"""Storage URLs, what a wrong one gets, and that one transaction is one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from sqlalchemy.exc import IntegrityError

from search.problems import Exit, SearchError
from search.study.storage import connect, connect_read_only, redact, sqlite_file
from search.study.transactions import closed, together


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///studies/studies.db", "sqlite:///studies/studies.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:s3@c/ret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:s3cret@host/db", "postgresql://:***@host/db"),
        (
            "postgresql://host/db?user=me&password=s3cret",
            "postgresql://host/db?user=me&password=***",
        ),
        ("not a url://me:s3cret@host", "not a url://me:***@host"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "studies.db",
        "mysql://me:s3cret@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x.db?mode=ro&uri=true",
        "postgresql://me:s3cret@host:port/db",
    ],
)
def test_what_is_no_storage_is_a_usage_error_that_shows_one_and_no_password(url: str) -> None:
    with pytest.raises(SearchError) as caught:
        connect(url)
    assert caught.value.status is Exit.USAGE
    assert "sqlite:///studies/studies.db" in caught.value.problems[0].fix
    assert "s3cret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_a_storage_error_without_the_password() -> None:
    with pytest.raises(SearchError) as caught:
        connect("postgresql://me:s3cret@127.0.0.1:1/db")
    assert caught.value.status is Exit.STORAGE
    assert "postgresql://me:***@127.0.0.1:1/db" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.slow
def test_a_relative_file_starts_at_the_current_folder_and_its_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    closed(connect("sqlite:///some/folder/studies.db"))
    assert (tmp_path / "some/folder/studies.db").is_file()
    assert sqlite_file("sqlite:///some/x.db") == tmp_path / "some/x.db"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with space.db", "100%.db", "a#b.db", "{SCHEMA}.db", "é.db"])
def test_odd_file_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path}/{name}"
    storage = connect(url)
    storage.create_new_study([StudyDirection.MAXIMIZE], "one")
    closed(storage)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    reading = connect_read_only(url)
    assert reading is not None
    assert [study.study_name for study in reading.get_all_studies()] == ["one"]
    closed(reading)


def test_a_file_that_is_no_database_is_a_storage_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one\n" * 50)
    before = path.read_bytes()
    with pytest.raises(SearchError) as caught:
        connect(f"sqlite:///{path}")
    assert caught.value.status is Exit.STORAGE
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError) as caught:
        connect(f"sqlite:///{tmp_path}/file/studies.db")
    assert caught.value.status is Exit.STORAGE


def test_reading_makes_no_file(tmp_path: Path) -> None:
    assert connect_read_only(f"sqlite:///{tmp_path}/none/studies.db") is None
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_storage_refuses_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    closed(connect(url))
    reading = connect_read_only(url)
    assert reading is not None
    with pytest.raises(Exception, match=r"readonly|commit"):
        reading.create_new_study([StudyDirection.MAXIMIZE], "one")
    assert reading.get_all_studies() == []
    closed(reading)


def test_results_are_synced_to_the_disk_before_they_count(tmp_path: Path) -> None:
    storage = connect(f"sqlite:///{tmp_path}/studies.db")
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    closed(storage)


@pytest.mark.slow
def test_writes_together_land_whole_or_not_at_all(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    storage, other = connect(url), connect(url)
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "one")
    with together(storage):
        storage.set_study_user_attr(study, "a", 1)
        assert other.get_study_user_attrs(study) == {}
        storage.set_study_user_attr(study, "b", 2)
    assert other.get_study_user_attrs(study) == {"a": 1, "b": 2}

    def cut_short() -> None:
        with together(storage):
            storage.set_study_user_attr(study, "a", 3)
            storage.set_study_user_attr(study, "c", 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert other.get_study_user_attrs(study) == {"a": 1, "b": 2}
    assert storage.get_study_user_attrs(study) == {"a": 1, "b": 2}
    storage.set_study_user_attr(study, "d", 4)
    assert other.get_study_user_attrs(study)["d"] == 4
    closed(storage)
    closed(other)


def test_a_write_that_optuna_swallows_undoes_what_was_written_with_it(tmp_path: Path) -> None:
    storage = connect(f"sqlite:///{tmp_path}/studies.db")
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "one")
    with storage.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER t BEFORE INSERT ON study_user_attributes WHEN new.key = 'bad' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    def write() -> None:
        with together(storage):
            storage.set_study_user_attr(study, "good", 1)
            storage.set_study_user_attr(study, "bad", 1)  # an IntegrityError: Optuna ignores it
            storage.set_study_user_attr(study, "after", 1)

    with pytest.raises(IntegrityError, match="no"):
        write()
    assert storage.get_study_user_attrs(study) == {}
    closed(storage)


@pytest.mark.slow
def test_a_killed_writer_leaves_what_it_had_committed_and_readers_can_read_it(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    script = textwrap.dedent(
        """
        import sys
        from optuna.study import StudyDirection
        from search.study.storage import connect
        from search.study.transactions import together
        storage = connect(sys.argv[1])
        study = storage.create_new_study([StudyDirection.MAXIMIZE], "one")
        storage.set_study_user_attr(study, "kept", 1)
        with together(storage):
            storage.set_study_user_attr(study, "lost", "x" * 5_000_000)
            print("now", flush=True)
            sys.stdin.read()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "now\n"
        os.kill(writer.pid, signal.SIGKILL)
    reading = connect_read_only(url)
    assert reading is not None
    study = reading.get_study_id_from_name("one")
    assert reading.get_study_user_attrs(study) == {"kept": 1}
    closed(reading)
