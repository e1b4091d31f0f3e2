"""``search init``: what it says of images, and the space file that it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from search.problems import Exit
from tests.unit.cli.init_command import flowers, scene, search, written

np = pytest.importorskip("numpy")
image = pytest.importorskip("PIL.Image")

pytestmark = pytest.mark.usefixtures("elsewhere")


def report(capsys: pytest.CaptureFixture[str], *more: str, status: int = 0) -> dict[str, object]:
    search("init", "study", "--data", "flowers", "--json", *more, status=status)
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_it_writes_a_file_that_plan_accepts_with_every_line_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path / "flowers")
    search("init", "study", "--data", "flowers")
    printed = capsys.readouterr()
    assert printed.out.startswith("flowers: 10 images\n")
    assert "next\n  search plan study/space.yaml\n" in printed.out
    spec = written().spec
    assert (spec.name, spec.data.path) == ("flowers", str(tmp_path / "flowers"))
    lines = Path("study/space.yaml").read_text().splitlines()
    for before, line in pairwise(lines):
        key, _, value = line.partition(":")
        if value.strip() and not line.startswith("#"):
            assert " # " in line or before.strip().startswith("# "), line
            assert key.strip() in ("backbone", "path") or len(line) <= 100
    search("plan", "study/space.yaml")


def test_few_images_lead_to_the_preset_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path / "flowers")
    found = report(capsys)
    assert found["learnt"] == 6  # 10 images, less 20 % each for val and test
    assert found["preset"] == {
        "name": "preset/small-data",
        "why": "6 images to learn from, fewer than 2,000",
    }
    assert written().extends == ("preset/small-data",)


def test_another_preset_can_be_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path / "flowers")
    report(capsys, "--preset", "balanced")
    assert written().extends == ("preset/balanced",)
    search("init", "other", "--preset", "balance", status=Exit.USAGE)
    assert "fix: preset/balanced" in capsys.readouterr().err


@pytest.mark.slow
def test_classes_sizes_and_balance_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path / "flowers", rose=12, tulip=3, side=64)
    found = report(capsys)
    assert found["classes"] == [
        {"name": "rose", "images": 12, "parts": {}},
        {"name": "tulip", "images": 3, "parts": {}},
    ]
    assert found["imbalance"] == 4.0
    assert found["short_side"] == {"min": 64, "median": 64, "max": 64}
    (branch,) = written().spec.space["image_size"].branches
    assert branch.domain.value == 64  # type: ignore[union-attr]  # more would be invented
    search("init", "study", "--data", "flowers", "--force")
    assert "4.0 times as many images" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "times"),
    [
        pytest.param(["cat", "cat", "cat", "cat|dog"], 4.0, id="uneven"),
        # Images in no class, of which there are fewer than dogs, are no class.
        pytest.param([*["cat|dog"] * 11, ""], 1.0, id="even"),
    ],
)
def test_what_can_be_done_about_rare_classes_is_proposed_for_several_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: list[str], times: float
) -> None:
    rows = ["path,label"]
    for index in range(24):
        scene(tmp_path / "photos" / f"{index}.png", index)
        rows.append(f"photos/{index}.png,{labels[index % len(labels)]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    search("init", "study", "--data", "list.csv")
    said = capsys.readouterr().out
    loaded = written()
    assert loaded.spec.data.task == "multilabel"
    assert not [each.fact for each in loaded.warnings if each.level == "warning"]
    assert ("class_imbalance" in loaded.spec.space) == (times > 3)
    assert (f"{times:.1f} times as many images as the smallest" in said) == (times > 3)
    assert ("mAP counts all alike" in said) == (times > 3)


@pytest.mark.parametrize(
    ("side", "size", "why"),
    [
        pytest.param(64, 64, "about 64: more would be invented", id="as_they_are"),
        pytest.param(48, 64, "about 48: the next multiple of 32", id="rounded_up"),
    ],
)
def test_the_size_of_small_images_is_told_for_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], side: int, size: int, why: str
) -> None:
    flowers(tmp_path / "flowers", side=side)
    search("init", "study", "--data", "flowers")
    assert f"image_size  {size} " in (said := capsys.readouterr().out)
    assert why in said


@pytest.mark.slow
def test_damaged_images_are_listed_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path / "flowers")
    (tmp_path / "flowers" / "rose" / "torn.jpg").write_bytes(b"no image")
    (tmp_path / "flowers" / "rose" / "empty.png").touch()
    assert report(capsys)["unreadable"] == [
        {"path": "rose/empty.png", "reason": "is empty (0 bytes)"},
        {"path": "rose/torn.jpg", "reason": "is none of JPEG, PNG, WEBP, BMP, TIFF, GIF"},
    ]
    assert written().spec.data.max_bad == 2


@pytest.mark.slow
def test_copies_and_near_copies_are_found_also_across_parts_and_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "flowers"
    for part, first in (("train", 0), ("val", 1000), ("test", 2000)):
        for index in range(5):
            scene(root / part / "rose" / f"{index}.png", first + index)
            scene(root / part / "tulip" / f"{index}.png", first + 100 + index)
    one = root / "train" / "rose" / "0.png"
    (root / "train" / "tulip" / "copy.png").write_bytes(one.read_bytes())
    with image.open(root / "train" / "rose" / "1.png") as opened:
        opened.resize((64, 64)).convert("RGB").save(root / "test" / "rose" / "near.jpg", quality=80)
    found = report(capsys)
    assert found["copies"] == [
        {
            "paths": ["train/rose/0.png", "train/tulip/copy.png"],
            "classes": ["rose", "tulip"],
            "parts": ["train"],
        }
    ]
    assert found["near_copies"] == [
        {
            "paths": ["test/rose/near.jpg", "train/rose/1.png"],
            "classes": ["rose"],
            "parts": ["test", "train"],
        }
    ]
    search("init", "study", "--data", "flowers", "--force")
    printed = capsys.readouterr().out
    assert "1 group in several classes: look at their labels" in printed
    assert "1 group in several of train, val and test: figures flatter" in printed
    assert "# no split: the data bring test, train, val" in Path("study/space.yaml").read_text()


def test_images_of_the_folder_itself_are_meant_where_none_are_named(tmp_path: Path) -> None:
    flowers(tmp_path / "flowers")
    search("init", "flowers")
    assert written(Path("flowers")).spec.data.path == str(tmp_path / "flowers")


@pytest.mark.slow
def test_nothing_is_replaced_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path / "flowers")
    Path("study").mkdir()
    Path("study/space.yaml").write_text("mine")
    search("init", "study", "--data", "flowers", status=Exit.USAGE)
    assert Path("study/space.yaml").read_text() == "mine"
    assert "study/space.yaml is there already" in capsys.readouterr().err
    search("init", "study", "--data", "flowers", "--force")
    assert written().spec.name == "flowers"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param(["--data", "flowers"], 2, "needs a folder to write to", id="no_folder"),
        pytest.param(["study", "--data", "nonesuch"], 3, "nonesuch does not exist", id="no_data"),
        pytest.param(["study", "--data", "file"], 3, "file is a file, not a folder", id="file"),
        pytest.param(["study", "--data", "empty"], 3, "holds no class folders", id="empty"),
        pytest.param(["study", "--data", "no.csv"], 3, "no.csv does not exist", id="no_manifest"),
        pytest.param(["file", "--data", "flowers"], 2, "file is a file, not a folder", id="target"),
        pytest.param(["file/x", "--data", "flowers"], 2, "file/x/space.yaml cannot be", id="under"),
        pytest.param(["study", "--data", "one"], 3, "has the single class 'rose'", id="one_class"),
        pytest.param(["study", "--data", "s3://k:v@b/x"], 2, "URL with credentials", id="secret"),
        pytest.param(["study", "--data", "s3://b/x.csv"], 2, "a manifest at a URL", id="far_csv"),
        pytest.param(["study", "--data", "~no-one/x"], 3, "~no-one/x does not", id="no_home"),
        pytest.param(["study", "--preset", "../x"], 2, "there is no preset", id="preset"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    flowers(tmp_path / "flowers", rose=3, tulip=3)
    for index in range(3):
        scene(tmp_path / "one" / "rose" / f"{index}.png", index)
    Path("empty").mkdir()
    Path("file").touch()
    search("init", *arguments, status=status)
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert not list(tmp_path.rglob("space.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a b # c: {d}", "quote'\"\\s", "n\u00e4m\u2028e\x85", "yes", "\U0001f33b"]
)
def test_any_name_of_a_folder_comes_back_from_the_file(tmp_path: Path, name: str) -> None:
    flowers(tmp_path / name, rose=3, tulip=3)
    search("init", "study", "--data", name)
    assert written().spec.data.path == str(tmp_path / name)


def test_without_a_folder_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    search("init")
    assert "preset/small-data\n  For a few hundred images" in capsys.readouterr().out
    search("init", "--json")
    listed = json.loads(capsys.readouterr().out)["presets"]
    assert [each["name"] for each in listed] == ["preset/balanced", "preset/small-data"]


@pytest.mark.slow
def test_neither_torch_nor_ray_is_imported_and_the_rest_left_alone(tmp_path: Path) -> None:
    flowers(tmp_path / "flowers", rose=30, tulip=30)
    program = (
        "import atexit, sys\n"
        "heavy = ('torch', 'torchvision', 'timm', 'ray', 'sklearn', 'scipy', 'optuna')\n"
        "atexit.register(lambda: print('HEAVY', *(m for m in heavy if m in sys.modules)))\n"
        "from search.cli.main import main\n"
        "sys.argv[0] = 'search'\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py", "init", "study", "--data", "flowers"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1].strip() == "HEAVY"
    assert [each.name for each in (tmp_path / "study").iterdir()] == ["space.yaml"]
