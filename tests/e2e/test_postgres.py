"""The real command on a real PostgreSQL server: outages, and a password that is shown nowhere."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from safetensors import safe_open

from tests import postgres
from tests.e2e.workplace import SPACE, Workplace
from tests.postgres import PASSWORD, USER, Postgres

pytestmark = pytest.mark.slow

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres.running() as started:
        yield started


@pytest.fixture
def url(server: Postgres, workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of an empty database, in which the workplace's study will be; the password
    comes from the environment."""
    url = server.new_database()
    monkeypatch.setenv("THE_PASSWORD", PASSWORD)
    hidden = url.replace(PASSWORD, "${env:THE_PASSWORD}")
    space = SPACE.format(name="tiny", trials=2, epochs=30)
    extra = f'scheduler: {{name: none}}\nstorage: "{hidden}"\n'
    (workplace.folder / "tiny.yaml").write_text(space + extra)
    return url


def reports(url: str) -> dict[tuple[int, int], float]:
    """What is committed: (trial number, epoch) -> value, read past our own code."""
    query = (
        b"select number, step, intermediate_value from trial_intermediate_values"
        b" join trials using (trial_id)"
    )
    with psycopg.connect(url) as connection:
        try:
            rows = connection.execute(query).fetchall()
        except psycopg.errors.UndefinedTable:  # they are being made
            return {}
    found = {(number, step): value for number, step, value in rows}
    assert len(found) == len(rows), "something is there twice"
    return found


def states(url: str) -> dict[int, str]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute(b"select number, state::text from trials").fetchall())


def kept(folder: Path, number: int) -> list[float]:
    """The curve in a trial's checkpoint."""
    path = folder / f"studies/tiny/trials/{number:05}/last.safetensors"
    with safe_open(path, framework="pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()["about"])
    return [report["metrics"]["balanced_accuracy"] for report in about["curve"]]


ALL = [(number, epoch) for number in range(2) for epoch in range(1, 31)]


@pytest.mark.thorough
def test_a_run_goes_on_through_an_outage(
    workplace: Workplace, server: Postgres, url: str, wait_for: WaitFor
) -> None:
    child = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(url)) >= 2)
    with server.down(5):
        pass
    out, err = child.communicate(timeout=200)
    assert child.returncode == 0, err
    assert "storage away" in out
    assert "storage is back after" in out
    assert sorted(reports(url)) == ALL
    assert set(states(url).values()) == {"COMPLETE"}
    assert PASSWORD not in out + err


@pytest.mark.thorough
def test_a_database_that_stays_away_loses_nothing_that_was_trained(
    workplace: Workplace, server: Postgres, url: str, wait_for: WaitFor
) -> None:
    child = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(url)) >= 2)
    server.crash()
    out, err = child.communicate(timeout=200)  # it waits for a minute
    assert child.returncode == 74, err
    assert "Traceback" not in err
    assert f"storage postgresql://{USER}:***@127.0.0.1:{server.port}" in err
    assert "could not be recorded; they are kept with the checkpoints in " in out
    server.start()
    before, trained = reports(url), kept(workplace.folder, 0)
    assert len(trained) == 30, "the trial did not train on meanwhile"
    assert 2 <= len(before) < 30
    again = workplace.run("run", "tiny.yaml")
    assert again.returncode == 0, again.stderr
    after = reports(url)
    assert sorted(after) == ALL
    assert {key: after[key] for key in before} == before
    assert [after[0, epoch] for epoch in range(1, 31)] == trained
    assert PASSWORD not in out + err + again.stdout + again.stderr


def holders(folder: Path, *, at_least: int = 10) -> list[Path]:
    """Files with the password, of the many that a run leaves."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) >= at_least, "nothing was looked through"
    return [path for path in files if PASSWORD.encode() in path.read_bytes()]


@pytest.mark.thorough
def test_ctrl_c_leaves_in_time_while_the_database_is_away(
    workplace: Workplace, server: Postgres, url: str, wait_for: WaitFor
) -> None:
    child = workplace.start("run", "tiny.yaml")
    wait_for(lambda: len(reports(url)) >= 2)
    server.crash()
    time.sleep(3)
    sent = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    took = time.monotonic() - sent
    server.start()
    assert took < 10
    assert child.returncode == 74, err
    assert "could not be recorded; they are kept with the checkpoints in " in out
    assert "Traceback" not in err
    before = reports(url)
    again = workplace.run("run", "tiny.yaml")
    assert again.returncode == 0, again.stderr
    after = reports(url)
    assert sorted(after) == ALL
    assert {key: after[key] for key in before} == before


def pages(workplace: Workplace, url: str) -> str:
    """What ``search dashboard`` prints and shows."""
    child = workplace.start("dashboard", "--storage", url, "--port", "0")
    assert child.stdout is not None
    said = ""
    while (found := re.search(r"http://127\.0\.0\.1:\d+", said)) is None:
        line = child.stdout.readline()
        assert line, "it ended"
        said += line
    shown = []
    for path in ("/dashboard/", "/api/studies", "/api/studies/1?after=0", "/api/meta"):
        with urllib.request.urlopen(found[0] + path, timeout=30) as answer:
            shown.append(answer.read().decode())
    assert "tiny" in shown[1]
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=90)
    return "\n".join([said, *shown, out, err])


def rows(url: str) -> str:
    """All that is in the database."""
    with psycopg.connect(url) as connection:
        query = b"select table_name from information_schema.tables where table_schema = 'public'"
        tables = [name for (name,) in connection.execute(query).fetchall()]
        assert len(tables) > 10
        return "\n".join(
            str(connection.execute(f'select * from "{name}"'.encode()).fetchall())
            for name in tables
        )


@pytest.mark.thorough
def test_the_password_is_in_no_output_no_log_and_no_file(
    workplace: Workplace,
    server: Postgres,
    url: str,
    wait_for: WaitFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rays = Path(tempfile.mkdtemp(prefix="ray"))  # Ray's sockets want a short path
    monkeypatch.setenv("RAY_TMPDIR", str(rays))
    said: list[str] = []

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = workplace.run(*arguments)
        said.append(f"{done.args}\n{done.stdout}\n{done.stderr}")
        return done

    try:
        assert run("plan", "tiny.yaml").returncode == 0
        child = workplace.start("run", "tiny.yaml")
        wait_for(lambda: len(reports(url)) >= 2)
        assert run("run", "tiny.yaml").returncode == 4  # another driver
        assert holders(rays) == []  # while it runs: logs, and all that is pickled
        server.crash()
        assert run("status", "tiny", "--storage", url).returncode == 74
        server.start()
        out, err = child.communicate(timeout=200)
        assert child.returncode == 0, err
        said.append(out + err)
        assert run("run", "tiny.yaml", "--json").returncode == 0
        for command in (("status",), ("status", "tiny"), ("status", "tiny", "--json")):
            assert run(*command, "--storage", url).returncode == 0
        assert run("status", "other", "--storage", url).returncode != 0
        assert run("export", "tiny", "--storage", url, "--to", "out").returncode == 0
        wrong = url.replace(f":{server.port}/", f":{server.port}/missing_")
        assert run("run", "tiny.yaml", "--storage", wrong).returncode == 74
        assert run("run", "tiny.yaml", "--storage", f"mysql{url[10:]}").returncode == 2
        assert run("plan", "tiny.yaml", "--set", f"storage={url}").returncode == 0
        said.append(f"\n{pages(workplace, url)}")
        said.append(f"\n{rows(url)}")
        texts = "\n".join(each.split("\n", 1)[1] for each in said)
        assert PASSWORD not in texts
        assert f"{USER}:***@127.0.0.1" in texts
        assert holders(workplace.folder) == []
        assert holders(rays, at_least=0) == []  # a run takes its own away when it ends
    finally:
        shutil.rmtree(rays, ignore_errors=True)


def test_the_password_is_in_no_pickle_and_no_repr_of_what_holds_it(
    server: Postgres, url: str
) -> None:
    """A traceback that shows its variables, or a pickle of the driver, shows ``***``."""
    script = f"""
import traceback
from search.study.storage import connect
storage = connect({url!r})
print(storage.engine, repr(storage.engine.url))
try:
    storage.get_study_id_from_name("none")
except KeyError:
    traceback.print_exc()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ":***@" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr.replace(script, "")
