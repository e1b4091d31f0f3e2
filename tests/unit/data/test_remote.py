"""Images at a URL: copied once, whole, and without a word of any secret."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from search.data.prepare import prepare
from search.data.remote import check_protocol, fetch_folder, fetched_folder, harmless, safe
from search.problems import Exit, SearchError
from search.space.spec import DataSpec

Pictures = Callable[[str, int], list[Path]]
Said = list[tuple[str, int, int]]


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
def fetch(folder: Path, cache: Path, said: Said) -> Callable[..., Path]:
    def go(url: str = "", **options: object) -> Path:
        def progress(what: str, done: int, total: int) -> None:
            said.append((what, done, total))

        return fetch_folder(url or f"file://{folder}", cache=cache, progress=progress, **options)  # type: ignore[arg-type]

    return go


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def images(pictures: Pictures, folder: Path) -> dict[str, bytes]:
    pictures("cat", 4)
    pictures("dog/brown", 3)
    return contents(folder)


def test_all_images_are_copied_under_their_names_and_nothing_else(
    images: dict[str, bytes], fetch: Callable[..., Path], folder: Path, said: Said
) -> None:
    (folder / "cat/notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    shutil.copy(folder / "cat/00.png", folder / ".hidden/00.png")
    copied = fetch()
    assert contents(copied) == images
    assert said[-1] == ("fetching images", 7, 7)


def test_what_is_there_is_not_copied_again(
    images: dict[str, bytes], fetch: Callable[..., Path], said: Said
) -> None:
    times = {path: (fetch() / path).stat().st_mtime_ns for path in images}
    said.clear()
    assert times == {path: (fetch() / path).stat().st_mtime_ns for path in images}
    assert ("fetching images", 7, 7) in said
    assert ("fetching images", 0, 7) not in said


@pytest.mark.usefixtures("images")
def test_what_changed_at_the_url_is_copied_and_what_went_is_removed(
    pictures: Pictures, fetch: Callable[..., Path], folder: Path
) -> None:
    fetch()
    (folder / "cat/00.png").write_bytes((folder / "cat/01.png").read_bytes())
    (folder / "cat/02.png").unlink()
    pictures("bird", 2)
    assert contents(fetch()) == contents(folder)


def test_a_copy_that_was_damaged_or_cut_is_made_again(
    images: dict[str, bytes], fetch: Callable[..., Path]
) -> None:
    copied = fetch()
    (copied / "cat/00.png").write_bytes(b"half")
    (copied / "cat/01.png").unlink()
    journal = copied.parent / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])  # the last line is torn
    assert contents(fetch()) == images


@pytest.mark.usefixtures("images")
def test_only_what_is_wanted_is_copied(fetch: Callable[..., Path]) -> None:
    assert set(contents(fetch(only=["cat/01.png", "none.png"]))) == {"cat/01.png"}
    assert set(contents(fetch(only=["cat/02.png"]))) == {"cat/01.png", "cat/02.png"}


FETCH = """
import sys
from pathlib import Path
from search.data.remote import fetch_folder
copied = []
fetch_folder(sys.argv[1], cache=Path(sys.argv[2]),
             progress=lambda what, done, total: copied.append((what, done)))
print(max((done for what, done in copied if what == "fetching images"))
      - min((done for what, done in copied if what == "fetching images")))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("images")
def test_of_two_processes_one_copies(folder: Path, cache: Path) -> None:
    command = [sys.executable, "-c", FETCH, f"file://{folder}", str(cache)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(int(each.communicate(timeout=60)[0]) for each in both) == [0, 7]


@pytest.mark.slow
def test_a_table_at_a_url_is_that_of_the_same_files_in_a_folder(
    pictures: Pictures, folder: Path, cache: Path
) -> None:
    pictures("cat", 8)
    pictures("dog", 8)

    def table(path: str) -> object:
        prepared = prepare(
            DataSpec(path=path), base=folder, cache=cache, progress=lambda *_: None, workers=1
        )
        return prepared.table

    near, far = table(str(folder)), table(f"file://{folder}")
    assert near.fingerprint == far.fingerprint  # type: ignore[attr-defined]
    assert far.root == fetched_folder(f"file://{folder}", cache)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("s3://bucket/flowers", Exit.MISSING, "the package s3fs is not installed"),
        ("nope://bucket/flowers", Exit.DATA, "nope:// is no protocol"),
        ("file:///none/such", Exit.DATA, "holds no images, or is not there"),
    ],
)
def test_what_cannot_be_read_is_named(
    url: str, status: Exit, words: str, fetch: Callable[..., Path]
) -> None:
    with pytest.raises(SearchError) as caught:
        fetch(url)
    assert caught.value.status is status
    assert url in caught.value.problems[0].fact
    assert words in caught.value.problems[0].fact
    assert caught.value.problems[0].fix


def test_a_missing_package_is_known_without_asking_the_server() -> None:
    with pytest.raises(SearchError, match="pip install s3fs"):
        check_protocol("s3://bucket/flowers")


def test_an_empty_place_is_named(folder: Path, fetch: Callable[..., Path]) -> None:
    (folder / "cat").mkdir()
    with pytest.raises(SearchError, match="holds no images, or is not there"):
        fetch()


@pytest.fixture
def ftp() -> Iterator[str]:
    """The address of a server that knows nobody, and says whom it does not know."""
    import socketserver

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True  # a client that does not hang up is left alone
        block_on_close = False

    class Refusing(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            for line in self.rfile:
                word = line.split()[0].upper()
                if word == b"USER":
                    self.wfile.write(b"331 password\r\n")
                elif word == b"PASS":
                    self.wfile.write(b"530 no: hunter2-token is wrong\r\n")
                else:
                    self.wfile.write(b"221 bye\r\n")
                    return

    with Server(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.slow
def test_a_server_that_repeats_a_secret_is_not_repeated(
    ftp: str, fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {**os.environ, "MY_SERVER_TOKEN": "hunter2-token"}
    began = time.monotonic()
    with pytest.raises(SearchError) as caught:
        fetch(f"ftp://{ftp}/flowers", env=env)
    assert time.monotonic() - began < 20
    assert "error_perm" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.status is Exit.DATA


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("GET https://h/x?sig=abc failed", "GET https://h/x?*** failed"),
        ("s3://A:B@bucket\n is closed", "s3://***@bucket is closed"),
        ("key wonderland-1 is wrong", "key *** is wrong"),
    ],
)
def test_a_message_loses_its_secrets(text: str, line: str) -> None:
    assert harmless(text, {"AWS_SECRET_ACCESS_KEY": "wonderland-1", "HOME": "wrong"}) == line


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "a//b.png", "a\0.png"])
def test_a_name_that_leads_out_is_not_safe(name: str) -> None:
    assert not safe(name)


def test_names_that_lead_out_of_the_folder_are_refused(fetch: Callable[..., Path]) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pipe({"/flowers/cat/1.png": b"1"})
    # as an object store would hold it: any text is a name
    memory.store["/flowers/cat/../../../evil.png"] = memory.store["/flowers/cat/1.png"]
    try:
        with pytest.raises(SearchError, match="leads out of the folder"):
            fetch("memory://flowers")
    finally:
        memory.store.clear()
