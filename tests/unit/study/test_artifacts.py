"""The files of a trial are in the dashboard, and in its record once."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.space.spec import StudySpec
from search.study.artifacts import FOLDERS, NAMES, artifact_folder, described
from search.study.dashboard import server
from search.study.opening import StudyFacts, open_study
from search.study.records import Outcome, State

Specify = Callable[..., StudySpec]
DONE = Outcome(state=State.COMPLETE, why="last epoch")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def address(home: Path, specify: Specify, facts: StudyFacts) -> Iterator[str]:
    """A dashboard of two trials: the first has files, the second lost one of them."""
    url = f"sqlite:///{home}/studies.db"
    recorder = open_study(url, specify(), facts)
    recorder.set_result(FOLDERS, [str(home / "earlier"), str(home / "study")])
    for number in (0, 1):
        asked = recorder.ask()
        assert asked is not None
        recorder.report(number, 1, 0.5, {})
        folder = artifact_folder(home / "study", number)
        folder.mkdir(parents=True)
        for name in NAMES:
            (folder / name).write_text(f"{name} of {number}")
        for _ in range(2):  # after a lost answer it is settled again
            recorder.settle(number, DONE, files=NAMES)
    (artifact_folder(home / "study", 1) / "curves.png").unlink()
    recorder.close()
    with server(url, port=0) as serves:
        threading.Thread(target=serves.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serves.server_port}"
        serves.shutdown()


def get(address: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def listed(address: str) -> tuple[int, list[dict[str, object]]]:
    (study,) = json.loads(get(f"{address}/api/studies")[2])["study_summaries"]
    number = int(study["study_id"])
    return number, json.loads(get(f"{address}/api/studies/{number}")[2])["trials"]


@pytest.mark.slow
def test_each_trial_lists_its_files_once_and_the_dashboard_gives_them(address: str) -> None:
    assert b'"artifact_is_available": true' in get(f"{address}/api/meta")[2]
    study, trials = listed(address)
    for number, trial in enumerate(trials):
        artifacts = trial["artifacts"]
        assert isinstance(artifacts, list)
        assert sorted(each["filename"] for each in artifacts) == sorted(NAMES)
        for each in artifacts:
            name = each["filename"]
            path = f"{address}/artifacts/{study}/{trial['trial_id']}/{each['artifact_id']}"
            status, headers, content = get(path)
            if (number, name) == (1, "curves.png"):
                assert status == 404
                continue
            assert (status, content) == (200, f"{name} of {number}".encode())
            expected = "image/png" if name.endswith(".png") else "application/json"
            assert headers["Content-Type"] == expected
            assert "Access-Control-Allow-Origin" not in headers  # pages of others read nothing
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "artifact",
    ["0" * 16 + "-00000000-00", "..", "%2e%2e%2fstudies.db", "a" * 16 + "-00000000-ff", "abc"],
)
def test_no_other_file_is_given(address: str, artifact: str) -> None:
    study, trials = listed(address)
    for owner in (f"{study}", f"{study}/{trials[0]['trial_id']}"):
        assert get(f"{address}/artifacts/{owner}/{artifact}")[0] == 404


def test_ids_follow_from_study_trial_and_name() -> None:
    first = described("a", 3, NAMES)
    assert first == described("a", 3, NAMES)
    assert len(first) == len(NAMES)
    assert not set(first) & set(described("a", 4, NAMES))
    assert not set(first) & set(described("b", 3, NAMES))
