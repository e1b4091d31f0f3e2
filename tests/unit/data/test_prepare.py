"""From a folder or manifest to the table of a study, with everything bad named."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.data.manifest import fingerprint
from search.data.prepare import Prepared, prepare
from search.problems import Exit, SearchError
from search.space.spec import DataSpec, SplitSpec

Pictures = Callable[[str, int], list[Path]]


def silent(what: str, done: int, total: int) -> None:
    pass


def ready(folder: Path, cache: Path, **options: object) -> Prepared:
    spec = DataSpec(path=str(folder), **options)  # type: ignore[arg-type]
    return prepare(spec, base=folder, cache=cache, progress=silent)


def refused(folder: Path, cache: Path, **options: object) -> SearchError:
    with pytest.raises(SearchError) as caught:
        ready(folder, cache, **options)
    assert caught.value.status is Exit.DATA
    return caught.value


@pytest.fixture
def two_classes(pictures: Pictures) -> None:
    pictures("cat", 10)
    pictures("dog", 20)


@pytest.mark.usefixtures("two_classes")
def test_the_table_holds_every_image_with_label_part_and_hash(folder: Path, cache: Path) -> None:
    prepared = ready(folder, cache)
    table = prepared.table
    assert table.classes == ("cat", "dog")
    assert table.counts() == {"train": 18, "val": 6, "test": 6}
    assert [row.path for row in table.rows] == sorted(row.path for row in table.rows)
    assert all(table.classes[row.label] == row.path.split("/")[0] for row in table.rows)
    for row in table.rows:
        content = table.absolute(row).read_bytes()
        assert row.sha256 == hashlib.sha256(content).hexdigest()
    assert table.fingerprint == fingerprint(table.rows, table.classes)
    assert (prepared.skipped, prepared.notes, table.licence) == ((), (), "")


@pytest.mark.usefixtures("two_classes")
def test_the_same_files_elsewhere_give_the_same_rows(
    folder: Path, cache: Path, tmp_path: Path
) -> None:
    first = ready(folder, cache).table
    moved = folder.rename(tmp_path / "elsewhere")
    second = ready(moved, tmp_path / "other cache").table
    assert (second.rows, second.fingerprint) == (first.rows, first.fingerprint)
    assert second.root == moved.resolve()


@pytest.mark.usefixtures("two_classes")
def test_another_split_seed_is_another_fingerprint(folder: Path, cache: Path) -> None:
    tables = [ready(folder, cache, split=SplitSpec(seed=seed)).table for seed in (0, 1)]
    assert tables[0].fingerprint != tables[1].fingerprint
    assert tables[0].counts() == tables[1].counts()


@pytest.mark.usefixtures("two_classes")
def test_files_that_were_checked_are_not_opened_again(folder: Path, cache: Path) -> None:
    first = ready(folder, cache)
    victim = folder / "cat" / "00.png"
    facts = victim.stat()
    victim.write_bytes(bytes(facts.st_size))  # no image any more; size and time say: unchanged
    os.utime(victim, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert ready(folder, cache) == first
    os.utime(victim, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert "cat/00.png: is none of" in str(refused(folder, cache))


@pytest.mark.slow
@pytest.mark.usefixtures("two_classes")
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1, "files": {"a": 1}}'])
def test_a_damaged_memory_is_forgotten(folder: Path, cache: Path, content: bytes) -> None:
    first = ready(folder, cache)
    (memory,) = (cache / "checked").iterdir()
    memory.write_bytes(content)
    assert ready(folder, cache) == first


@pytest.mark.usefixtures("two_classes")
def test_progress_ends_with_all_of_all(folder: Path, cache: Path) -> None:
    told: list[tuple[str, int, int]] = []
    for _ in range(2):
        prepare(
            DataSpec(path=str(folder)),
            base=folder,
            cache=cache,
            progress=lambda *what: told.append(what),
        )
        assert told[-1] == ("checking images", 30, 30)


@pytest.fixture
def bad_files(folder: Path, two_classes: None, tmp_path: Path) -> None:
    """One of each kind that S4 names, among good ones."""
    cat = folder / "cat"
    (cat / "empty.png").touch()
    (cat / "cut.png").write_bytes((cat / "00.png").read_bytes()[:200])
    (cat / "text.jpg").write_text("hello")
    (tmp_path / "out.png").write_bytes((cat / "00.png").read_bytes())
    (cat / "link.png").symlink_to(tmp_path / "out.png")
    (cat / "gone.png").symlink_to("nowhere.png")


@pytest.mark.usefixtures("bad_files")
def test_bad_files_are_listed_with_reasons_and_the_fix(folder: Path, cache: Path) -> None:
    error = refused(folder, cache)
    facts = [problem.fact for problem in error.problems]
    assert facts[0].startswith("cat/cut.png: cannot be decoded")
    assert facts[1:4] == [
        "cat/empty.png: is empty (0 bytes)",
        "cat/gone.png: no such file or directory",
        "cat/link.png: is a link that leads out of the data folder",
    ]
    assert facts[4].startswith("cat/text.jpg: is none of")
    assert facts[5] == "5 of 35 images cannot be used, data.max_bad is 0"
    assert error.problems[5].fix.endswith("data.max_bad: 5")


@pytest.mark.usefixtures("bad_files")
def test_bad_files_up_to_max_bad_are_left_out(folder: Path, cache: Path) -> None:
    prepared = ready(folder, cache, max_bad=5)
    assert len(prepared.table.rows) == 30
    assert [path for path, _ in prepared.skipped] == [
        "cat/cut.png",
        "cat/empty.png",
        "cat/gone.png",
        "cat/link.png",
        "cat/text.jpg",
    ]
    refused(folder, cache, max_bad=4)


@pytest.mark.usefixtures("two_classes")
def test_a_file_that_was_bad_is_looked_at_again(folder: Path, cache: Path) -> None:
    odd = folder / "cat" / "odd.png"
    odd.symlink_to("later.dat")
    refused(folder, cache)
    (folder / "cat" / "later.dat").write_bytes((folder / "cat" / "00.png").read_bytes())
    assert len(ready(folder, cache).table.rows) == 31


def test_many_bad_files_are_counted(folder: Path, cache: Path, pictures: Pictures) -> None:
    pictures("cat", 3)
    pictures("dog", 3)
    for number in range(40):
        (folder / "cat" / f"bad{number:03}.png").touch()
    facts = [problem.fact for problem in refused(folder, cache).problems]
    assert len(facts) == 22
    assert facts[20:] == [
        "and 20 more of this kind",
        "40 of 46 images cannot be used, data.max_bad is 0",
    ]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        pytest.param({"a": 5, "b": 2}, ["class 'b' has 2 images; 3 are needed"], id="two"),
        pytest.param(
            {"a": 1, "b": 5, "c": 0}, ["'a' has 1 image;", "'c' has 0 images;"], id="empty"
        ),
        pytest.param({"a": 9}, ["has the single class 'a'"], id="single"),
    ],
)
def test_classes_that_are_too_small_are_all_named(
    folder: Path, cache: Path, pictures: Pictures, counts: dict[str, int], said: list[str]
) -> None:
    for label, count in counts.items():
        pictures(label, count)
    facts = [problem.fact for problem in refused(folder, cache).problems]
    assert len(facts) == len(said)
    assert all(part in fact for part, fact in zip(said, facts, strict=True))


def test_a_class_that_bad_files_make_too_small_is_named(
    folder: Path, cache: Path, pictures: Pictures
) -> None:
    pictures("a", 5)
    pictures("b", 2)
    (folder / "b" / "bad.png").touch()
    error = refused(folder, cache, max_bad=1)
    assert "class 'b' has 2 images (1 unreadable)" in error.problems[0].fact


def test_given_parts_are_kept_and_the_others_cut(
    folder: Path, cache: Path, pictures: Pictures
) -> None:
    for label in ("a", "b"):
        pictures(f"train/{label}", 10)
        pictures(f"test/{label}", 4)
    table = ready(folder, cache).table
    assert table.counts() == {"train": 16, "val": 4, "test": 8}
    assert all(row.path.startswith("test/") == (row.part == "test") for row in table.rows)


def test_a_class_that_is_not_in_train_is_named(
    folder: Path, cache: Path, pictures: Pictures
) -> None:
    for label in ("a", "b"):
        pictures(f"train/{label}", 5)
    pictures("test/c", 4)
    assert "class 'c' has 4 images, none in train" in str(refused(folder, cache))


def test_a_class_that_a_part_lacks_is_noted(folder: Path, cache: Path, pictures: Pictures) -> None:
    for label in ("a", "b"):
        pictures(f"train/{label}", 5)
    pictures("test/a", 2)
    assert ready(folder, cache).notes == ("test has no image of 'b'",)


def test_copies_in_several_given_parts_and_classes_are_noted(
    folder: Path, cache: Path, pictures: Pictures
) -> None:
    for part in ("train", "test"):
        for label in ("a", "b"):
            pictures(f"{part}/{label}", 5)
    copy = (folder / "train" / "a" / "00.png").read_bytes()
    (folder / "test" / "a" / "copy.png").write_bytes(copy)
    (folder / "train" / "b" / "copy.png").write_bytes(copy)
    straddling, contradicting = ready(folder, cache).notes
    assert "1 image with the same content in several parts" in straddling
    assert "1 image with the same content in several classes" in contradicting


def test_copies_in_one_folder_go_to_one_part(folder: Path, cache: Path, pictures: Pictures) -> None:
    for label in ("a", "b"):
        for path in pictures(label, 10):
            path.with_name(f"copy of {path.name}").write_bytes(path.read_bytes())
    prepared = ready(folder, cache)
    part = {row.path: row.part for row in prepared.table.rows}
    assert all(part[path] == part[path.replace("copy of ", "")] for path in part)
    assert prepared.notes == ()


@pytest.mark.usefixtures("two_classes")
def test_a_subset_opens_and_keeps_so_many_images(folder: Path, cache: Path) -> None:
    (folder / "dog" / "20.png").touch()
    told: list[tuple[str, int, int]] = []
    spec = DataSpec(path=str(folder), max_images=9, max_bad=1)
    table = prepare(spec, base=folder, cache=cache, progress=lambda *what: told.append(what)).table
    assert told[-1][1:] == (9, 9)
    assert 8 <= len(table.rows) <= 9
    assert "max_images is too few for 2 classes" in str(refused(folder, cache, max_images=5))


def test_a_manifest_with_groups(folder: Path, cache: Path, pictures: Pictures) -> None:
    lines = ["path,label,group"]
    for label in ("a", "b"):
        for path in pictures(label, 12):
            number = int(path.stem)
            lines.append(f"{label}/{path.name},{label},{label}{number // 2}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    table = prepare(DataSpec(manifest="list.csv"), base=folder, cache=cache, progress=silent).table
    parts: dict[str, set[str]] = {}
    for row in table.rows:
        parts.setdefault(row.group, set()).add(row.part)
    assert len(parts) == 12
    assert all(len(own) == 1 for own in parts.values())


def test_groups_too_few_for_the_parts_are_said(
    folder: Path, cache: Path, pictures: Pictures
) -> None:
    lines = ["path,label,group"]
    for label in ("a", "b"):
        lines += [f"{label}/{path.name},{label},one" for path in pictures(label, 4)]
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SearchError, match=r"has no images: list\.csv has 1 group"):
        prepare(DataSpec(manifest="list.csv"), base=folder, cache=cache, progress=silent)


@pytest.mark.slow
def test_many_files_in_processes_are_found_the_same(
    folder: Path, cache: Path, pictures: Pictures, tmp_path: Path
) -> None:
    pictures("a", 40)
    pictures("b", 40)
    (folder / "a" / "bad.png").write_text("text")
    spec = DataSpec(path=str(folder), max_bad=1)
    inline, parallel = (
        prepare(spec, base=folder, cache=tmp_path / str(n), progress=silent, workers=n)
        for n in (1, 2)
    )
    assert inline == parallel
    assert len(parallel.skipped) == 1


@pytest.mark.slow
def test_preparing_imports_neither_torch_nor_sklearn() -> None:
    code = (
        "import sys, search.data.prepare, search.data.store, search.data.manifest\n"
        "heavy = {'torch', 'sklearn', 'pandas', 'scipy', 'ray', 'optuna'}\n"
        "print(*(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_sample_is_prepared_with_its_licence(cache: Path) -> None:
    pytest.importorskip("elpv_dataset")
    spec = DataSpec(sample="solar-cells", max_images=30)
    prepared = prepare(spec, base=cache, cache=cache, progress=silent)
    assert prepared.table.classes == ("defective", "sound")
    assert prepared.table.counts() == {"train": 18, "val": 6, "test": 6}
    assert "CC-BY-NC-SA-4.0" in prepared.table.licence
