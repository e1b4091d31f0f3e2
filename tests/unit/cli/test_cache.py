"""``search cache``: what is said of a cache folder, and what clearing leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.backbones.availability import file_name
from search.backbones.catalogue import CATALOGUE
from search.cli.cache_facts import Contents, FamilyName, Kept, look
from search.cli.cache_view import Removal, contents_lines, removal_lines
from search.cli.figures import ago
from search.cli.main import app
from search.data.cache import IN_USE, CacheEntry, Cleared, hold
from search.problems import Exit

NOW = 1_800_000_000.0
DAY = 86_400
WEIGHTS = file_name(CATALOGUE["resnet50"])
GB = 10**9


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is meant when none is named."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEARCH_CACHE", str(folder))
    return folder


@pytest.fixture
def filled(cache: Path) -> Path:
    """One entry of each kind, and what belongs to them."""
    _write(cache / "decoded" / "aa.u8", 3_000)
    _write(cache / "decoded" / "aa.json", 100)
    _write(cache / "decoded" / "aa.lock", 0)
    family = cache / "activations" / "f0"
    _write(family / "light-0-00000" / "b5-11.rows", 500)
    _write(family / "light-0-00000" / "b4-11.rows", 700)
    about = {"backbone": "resnet50", "image_size": 224, "precision": "float16"}
    (family / "family.json").write_text(json.dumps(about), encoding="utf-8")
    _write(cache / "weights" / WEIGHTS, 9_000)
    _write(cache / "weights" / "my-own.pth", 10)
    _write(cache / "tables" / "t.json", 20)
    return cache


def _write(path: Path, size: int, *, used: float = NOW - 2 * DAY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (used, used))


def search(*arguments: str, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["cache", *arguments], prog_name="search")
    assert (ended.value.code or 0) == status


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    search(*arguments)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_is_there_is_shown_by_kind_within_80_columns(
    golden: Callable[[str, str], None],
) -> None:
    family = FamilyName(backbone="efficientnet_v2_s", image_size=384, precision="float16")
    contents = Contents(
        folder=Path("/home/me/.cache/search"),
        exists=True,
        decoded=Kept(entries=9, bytes=499_000_000, used=NOW - 30),
        families=(
            (family, Kept(entries=1_280, bytes=21 * GB, used=NOW - 1_800)),
            (FamilyName(), Kept(entries=3, bytes=4_000, used=NOW - 30 * DAY)),
        ),
        weights=Kept(entries=2, bytes=188_000_000, used=NOW - 5 * 3_600),
        free=70 * GB,
    )
    lines = contents_lines(contents, now=NOW, flag="")
    assert max(map(len, lines)) <= 80
    golden("cache.txt", "\n".join(lines))


def test_what_went_and_what_stayed_is_told_apart_within_80_columns(
    golden: Callable[[str, str], None],
) -> None:
    def entry(kind: Any, name: str, size: int) -> CacheEntry:
        return CacheEntry(path=Path("/c") / name, kind=kind, bytes=size, used=0.0)

    done = Cleared(
        gone=(
            entry("activations", "b5-1.rows", GB),
            entry("activations", "b5-2.rows", GB),
            entry("weights", "resnet50-11ad3fa6.pth", 102_000_000),
        ),
        stayed=(
            (entry("decoded", "aa.u8", 400_000_000), IN_USE),
            (entry("activations", "b5-3.rows", 7_000), "permission denied"),
        ),
    )
    lines = []
    for dry_run in (False, True):
        removal = Removal(folder=Path("/c"), done=done, dry_run=dry_run, free=70 * GB)
        lines += removal_lines(removal)
    assert max(map(len, lines)) <= 80
    golden("cache_clear.txt", "\n".join(lines))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3_599, "59 min ago"),
        (3_600, "1 h ago"),
        (2 * DAY - 1, "47 h ago"),
        (2 * DAY, "2 days ago"),
    ],
)
def test_how_long_ago(seconds: float, text: str) -> None:
    assert ago(seconds) == text


def test_every_file_is_counted_once(filled: Path) -> None:
    contents = look(filled)
    assert contents.decoded == Kept(entries=1, bytes=3_100, used=NOW - 2 * DAY)
    ((name, kept),) = contents.families
    assert name == FamilyName(backbone="resnet50", image_size=224, precision="float16")
    assert (kept.entries, kept.bytes - (filled / "activations/f0/family.json").stat().st_size) == (
        2,
        1_200,
    )
    assert (contents.weights.entries, contents.weights.bytes) == (1, 9_000)
    assert (contents.others.entries, contents.others.bytes) == (1, 20)
    assert contents.total.entries == 5


def test_images_of_a_url_are_shown_and_not_removed(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = filled / "fetched" / "0f" / "files" / "rose" / "1.JPG"
    _write(copy, 4_000)
    _write(filled / "fetched" / "0f" / "journal.jsonl", 30)
    assert document(capsys, "--json")["images"]["entries"] == 1
    search()
    assert "fetched images" in capsys.readouterr().out
    search("clear")
    assert copy.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"backbone": "x"}'])
def test_a_family_whose_description_is_damaged_is_still_counted(
    filled: Path, content: bytes
) -> None:
    (filled / "activations" / "f0" / "family.json").write_bytes(content)
    ((name, kept),) = look(filled).families
    assert (name, kept.entries) == (FamilyName(), 2)


def test_json_holds_the_same(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--json")
    assert found["cache"] == str(filled)
    assert found["decoded"]["entries"] == 1
    assert found["activations"]["families"][0]["backbone"] == "resnet50"
    assert found["total"]["bytes"] == look(filled).total.bytes
    assert found["decoded"]["used"].endswith("+00:00")


def test_clear_removes_what_can_be_made_again_and_nothing_else(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search("clear")
    printed = capsys.readouterr().out
    assert "removed  1 decoded image file" in printed
    assert "removed  2 activation files" in printed
    left = sorted(path.name for path in filled.rglob("*") if path.is_file())
    assert left == sorted(["aa.lock", "my-own.pth", WEIGHTS, "t.json"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decoded", "activations", "weights"])
def test_only_what_is_named_is_removed(
    filled: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "clear", f"--{kind}", "--json")
    assert [each["kind"] for each in found["removed"]] == [kind]
    contents = look(filled)
    counts = {
        "decoded": contents.decoded.entries,
        "activations": contents.activations.entries,
        "weights": contents.weights.entries,
    }
    assert counts == {"decoded": 1, "activations": 2, "weights": 1} | {kind: 0}
    assert (filled / "weights" / "my-own.pth").exists()


def test_what_was_said_of_weights_goes_with_them(filled: Path) -> None:
    digest = filled / "weights" / f"{WEIGHTS}.sha256"
    digest.write_text("0" * 64)
    search("clear", "--weights", "--dry-run")
    assert digest.exists()
    search("clear", "--weights")
    assert not digest.exists()


def test_weights_that_go_are_named(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search("clear", "--weights")
    printed = capsys.readouterr().out
    assert f"  {WEIGHTS}" in printed
    assert "search weights fetch SPACE" in printed


@pytest.mark.slow
def test_a_dry_run_says_the_same_and_removes_nothing(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = look(filled)
    arguments = ("clear", "--decoded", "--activations", "--weights", "--json")
    said = document(capsys, *arguments, "--dry-run")
    after = look(filled)
    assert (after.total, after.families) == (before.total, before.families)
    assert said["removed"] == document(capsys, *arguments)["removed"]


def test_what_was_used_lately_stays(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(filled / "decoded" / "aa.u8")
    _write(filled / "activations/f0/light-0-00000/b5-11.rows", 500, used=0.0)
    _write(filled / "activations/f0/light-0-00000/b4-11.rows", 700, used=0.0)
    found = document(capsys, "clear", "--older-than", "30", "--json")
    assert [each["kind"] for each in found["removed"]] == ["activations"]
    assert (filled / "decoded" / "aa.u8").exists()


@pytest.mark.parametrize("name", ["decoded/aa.u8", f"weights/{WEIGHTS}"])
def test_what_a_running_process_holds_stays_and_that_is_said(
    filled: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold(filled / name):
        search("clear", "--decoded", "--weights")
    assert f"  {IN_USE}" in capsys.readouterr().out
    assert (filled / name).exists()


def test_the_folder_is_named_on_either_side_of_clear(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    _write(other / "decoded" / "bb.u8", 5)
    assert document(capsys, "--dir", str(other), "--json")["decoded"]["entries"] == 1
    found = document(capsys, "--dir", str(other), "--json", "clear", "--dry-run")
    assert found["removed"][0]["bytes"] == 5
    assert document(capsys, "clear", "--dir", str(other), "--json")["removed"][0]["bytes"] == 5
    assert (filled / "decoded" / "aa.u8").exists()


@pytest.mark.parametrize("arguments", [(), ("clear",), ("clear", "--weights", "--dry-run")])
def test_a_folder_that_is_not_there_is_nothing_and_is_not_made(
    cache: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    search(*arguments)
    assert "nothing" in capsys.readouterr().out
    assert not cache.exists()


def test_a_file_is_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for arguments in ((), ("clear",)):
        search("--dir", str(tmp_path / "file"), *arguments, status=Exit.STORAGE)
        assert "/file is not a folder\n  fix: --dir DIR" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "decoded", "activations/f0/light-0-00000"])
def test_a_folder_without_permission_is_named(
    filled: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    denied = str(filled / place)

    def refusing(original: Callable[..., Any]) -> Callable[..., Any]:
        def look_into(path: Any = ".") -> Any:
            if os.fspath(path) == denied:  # as a user who is not root meets it
                raise PermissionError(13, "Permission denied", denied)
            return original(path)

        return look_into

    monkeypatch.setattr(os, "listdir", refusing(os.listdir))
    monkeypatch.setattr(os, "scandir", refusing(os.scandir))
    for arguments in ((), ("clear",)):
        search(*arguments, status=Exit.STORAGE)
        assert f"{denied} cannot be read: permission denied" in capsys.readouterr().err
    assert (filled / "decoded" / "aa.u8").exists()


def test_what_may_not_be_removed_is_named_and_ends_with_74(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    search("clear", status=Exit.STORAGE)
    printed = capsys.readouterr()
    assert "nothing to remove" in printed.out
    assert "stayed  2 activation files" in printed.out
    assert "cannot be removed: permission denied, and 2 more" in printed.err


def test_a_folder_that_is_no_cache_is_left_alone(tmp_path: Path) -> None:
    _write(tmp_path / "project" / "weights" / "model.pth", 5)
    _write(tmp_path / "project" / "main.py", 5)
    search("clear", "--decoded", "--activations", "--weights", "--dir", str(tmp_path / "project"))
    assert sum(path.is_file() for path in (tmp_path / "project").rglob("*")) == 2
