"""The commands through their entry point, without anything heavy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.cli.entry import show_problems
from search.cli.main import app
from search.cli.options import RunOptions, SpaceFlags
from search.cli.schema import schema_text
from search.problems import Exit, Problem

COMMANDS = (
    *("plan", "run", "status", "stop", "backbones", "dashboard", "export", "predict", "cache"),
    *("init", "weights"),
)


def search(*arguments: str, status: int = 0) -> None:
    """Run the command in this process and check how it ends."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments), prog_name="search")
    assert (ended.value.code or 0) == status


pytestmark = pytest.mark.usefixtures("elsewhere")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    search("--help")
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in listed
    assert "schema" not in listed


@pytest.mark.parametrize("command", [*COMMANDS[:-1], "weights fetch", "cache clear"])
def test_every_command_has_examples_that_name_it(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    search(*command.split(), "-h")
    text = capsys.readouterr().out
    assert "Examples:\n" in text
    assert f"search {command} " in text.split("Examples:")[1]


def test_a_mistyped_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    search("stats", status=2)
    assert "status" in capsys.readouterr().err


def test_problems_go_to_stderr_all_of_them_with_their_status(
    space_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search("plan", str(space_file), "--set", "lr", "--set", "space.dropout=7", status=Exit.USAGE)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--set lr: not KEY=VALUE" in printed.err
    assert "\n2 errors\n" in printed.err


def test_a_plan_goes_to_stdout_and_its_warnings_to_stderr(
    space_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search("plan", str(space_file), "--minutes", "0.05")
    printed = capsys.readouterr()
    assert printed.out.startswith("solar-cells: 12 trials")
    assert "warning: a budget of 3 s cannot reach one full trial" in printed.err


def test_a_plan_without_its_data_is_no_plan_and_ends_as_a_run_would(
    space_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search("plan", str(space_file), "--data", "flwers", status=Exit.DATA)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--data:1:" in printed.err
    assert "error: data.path: " in printed.err
    assert "/flwers does not exist" in printed.err
    assert "fix: --data FOLDER" in printed.err


def test_images_that_are_not_there_are_told_with_the_mistakes_of_the_file(
    space_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = space_file.read_text().replace(
        "{sample: solar-cells, max_images: 600}", "{path: flwers}"
    )
    space_file.write_text(text.replace("augmentation: [none, light]", "augmentation: [none, lite]"))
    search("plan", str(space_file), status=Exit.USAGE)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{space_file}:2:14: error: data.path: " in printed.err
    assert "2 |" in printed.err
    assert "lite" in printed.err
    assert "\n2 errors\n" in printed.err


def test_what_sums_others_up_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_problems([Problem(fact="a"), Problem(fact="b"), Problem(fact="2 of 3", sums_up=True)])
    assert "\n2 errors\n" in capsys.readouterr().err


def test_run_hands_over_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RunOptions] = []

    def body(options: RunOptions) -> Exit:
        seen.append(options)
        return Exit.FAILURES

    monkeypatch.setattr("search.cli.run.run", body)
    search(
        *("run", "a.yaml", "--data", "d", "--name", "n", "--trials", "3", "--minutes", "1.5"),
        *("--concurrency", "2", "--storage", "s", "--set", "a=1", "--set", "b=2"),
        *("--address", "host:1", "--json", "--dashboard"),
        status=Exit.FAILURES,
    )
    assert seen == [
        RunOptions(
            space=Path("a.yaml"),
            flags=SpaceFlags(
                data="d",
                name="n",
                trials=3,
                minutes=1.5,
                concurrency=2,
                storage="s",
                sets=("a=1", "b=2"),
            ),
            address="host:1",
            json=True,
            dashboard=True,
            began=0.0,  # not compared
        )
    ]
    assert 0 <= time.monotonic() - seen[0].began < 60


def test_ctrl_c_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(options: RunOptions) -> Exit:
        raise KeyboardInterrupt

    monkeypatch.setattr("search.cli.run.run", body)
    search("run", "a.yaml", status=Exit.INTERRUPTED)
    assert "Traceback" not in capsys.readouterr().err


def test_our_own_failure_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(options: RunOptions) -> Exit:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("search.cli.run.run", body)
    with pytest.raises(ZeroDivisionError, match="ours"):
        app(["run", "a.yaml"], prog_name="search")


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_failure_of_ours(space_file: Path) -> None:
    command = (
        f"{sys.executable} -m search.cli.main plan {space_file} | head -1; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("solar-cells")
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_status_without_a_storage_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search("status")
    assert "search run spaces/quick.yaml" in capsys.readouterr().out
    search("status", "--json")
    assert json.loads(capsys.readouterr().out)["studies"] == []
    search("status", "nonesuch", status=Exit.USAGE)
    assert not (tmp_path / "studies").exists()


def test_an_unset_variable_in_the_storage_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    search("status", "--storage", "postgresql://${env:SEARCH_NO_SUCH}@h/d", status=Exit.USAGE)
    assert "SEARCH_NO_SUCH" in capsys.readouterr().err


def test_predict_takes_one_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search("predict", str(tmp_path), "a.jpg", "--json", "--csv", status=Exit.USAGE)
    assert "--json and --csv" in capsys.readouterr().err


def test_the_committed_schema_is_the_generated_one() -> None:
    committed = Path(__file__).parents[3] / "schema" / "space.schema.json"
    assert committed.read_text(encoding="utf-8") == schema_text()
