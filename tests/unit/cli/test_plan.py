"""What ``search plan`` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search.backbones import availability
from search.backbones.catalogue import CATALOGUE
from search.cli.blocks_view import block_lines
from search.cli.consequences import Backbone, warnings
from search.cli.machine import Machine, this_machine
from search.cli.options import SpaceFlags
from search.cli.plan_facts import Plan, gather
from search.cli.plan_view import plan_lines
from search.cli.space_file import load_space
from search.space.halving import Expected
from search.space.spec import Budget, StudySpec

CPU = Machine(cpus=2, gpus=0)
GPU = Machine(cpus=16, gpus=2)


def plan_of(
    file: Path, flags: SpaceFlags | None = None, *, machine: Machine = CPU, cluster: bool = False
) -> Plan:
    flags = flags or SpaceFlags()
    env = {"SEARCH_CACHE": str(file.parent / "cache")}
    loaded = load_space(file, flags, env=env)
    return gather(loaded, space=file, flags=flags, env=env, machine=machine, cluster=cluster)


def facts(plan: Plan) -> str:
    return "\n".join(problem.fact for problem in plan.warnings)


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def test_the_whole_plan(
    space_file: Path, tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    text = "\n".join(plan_lines(plan_of(space_file)))
    golden("plan.txt", text.replace(str(tmp_path), "/home/me"))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_on_a_terminal_a_plan_goes_on_below_and_loses_nothing(
    width: int, space_file: Path, tmp_path: Path
) -> None:
    plan = plan_of(space_file)
    whole = plan_lines(plan, blocks=True)
    lines = plan_lines(plan, width=width, blocks=True)
    # A path or a command that is too long stays whole, so that it can be copied.
    assert all(len(line) <= width or str(tmp_path) in line for line in lines)
    start = lines.index("tried first")
    assert lines[start + 1].startswith("  default  resnet50  unfreeze_depth 1")
    assert lines[start + 2].startswith(" " * 11)
    words = [word for line in whole if "learning rate" not in line for word in line.split()]
    found = " ".join(lines).split()
    assert {word for word in words if word not in found} == set()


def test_a_plan_without_a_number_of_trials_says_what_decides(space_file: Path) -> None:
    flags = SpaceFlags(sets=("budget={minutes: 30}",))
    text = "\n".join(plan_lines(plan_of(space_file, flags)))
    assert "solar-cells: any number of trials or 30 min 00 s, tpe + asha" in text
    assert "at most 9 epochs a trial; the minutes decide how many" in text


def test_a_plan_says_when_trials_end_themselves(space_file: Path) -> None:
    for patience, said in (
        ("{epochs: 3}", "loss not improved for 3 epochs"),
        ("{metric: objective, epochs: 1}", "balanced_accuracy not improved for 1 epoch"),
    ):
        flags = SpaceFlags(sets=(f"patience={patience}",))
        text = "\n".join(plan_lines(plan_of(space_file, flags)))
        assert f"fewer where a trial ends itself: {said}" in text


def test_the_next_command_repeats_the_flags_quoted_and_without_a_password(
    space_file: Path,
) -> None:
    flags = SpaceFlags(
        data="my flowers",
        trials=4,
        minutes=2.0,
        storage="postgresql+psycopg://me:hunter2@host/db",
        sets=("space.augmentation=[none, light]",),
    )
    plan = plan_of(space_file, flags)
    assert plan.next_command == (
        f"search run {space_file} --data 'my flowers' --trials 4 --minutes 2 "
        "--storage 'postgresql+psycopg://me:***@host/db' "
        "--set 'space.augmentation=[none, light]'"
    )
    assert "hunter2" not in "\n".join(plan_lines(plan))


def test_a_plan_says_which_files_are_extended_and_where_a_domain_comes_from(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: preset/balanced\ndata: {sample: solar-cells}\nspace: {dropout: 0.1}\n"
    )
    plan = plan_of(file, SpaceFlags(sets=("space.lr=1e-3",)))
    lines = {line.split()[0]: line for line in plan_lines(plan) if line.strip()}
    assert lines["extends"].split() == ["extends", "preset/balanced"]
    assert lines["unfreeze_depth"].endswith("  preset/balanced")
    assert lines["lr"].endswith("  --set")
    assert lines["dropout"].split() == ["dropout", "0.1"]  # this file's own


def test_without_timm_a_backbone_of_timms_is_not_to_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "_installed", lambda module: module != "timm")
    file = tmp_path / "s.yaml"
    file.write_text("data: {sample: solar-cells}\nspace: {backbone: 'timm:resnet18.a1_in1k'}\n")
    (row,) = plan_of(file).backbones
    assert (row.where, row.usable) == ("timm is not installed", False)


def test_a_large_backbone_without_a_gpu_is_warned_of(space_file: Path) -> None:
    flags = SpaceFlags(sets=("space.image_size=224",))
    assert "resnet50 has 25.6 M parameters at 224 px" in facts(plan_of(space_file, flags))
    assert "made for GPUs" not in facts(plan_of(space_file, flags, machine=GPU))
    assert "made for GPUs" not in facts(plan_of(space_file, flags, cluster=True))
    assert "made for GPUs" not in facts(plan_of(space_file))  # at 96 px it is small


def test_asking_for_a_gpu_that_is_not_there_is_warned_of(space_file: Path) -> None:
    flags = SpaceFlags(sets=("resources.gpus_per_trial=1",))
    assert "this machine has 0 GPUs" in facts(plan_of(space_file, flags))


def test_a_budget_too_short_for_one_trial_is_warned_of(space_file: Path) -> None:
    text = facts(plan_of(space_file, SpaceFlags(minutes=0.05)))
    assert "a budget of 3 s cannot reach one full trial: 9 epochs take at least" in text


def spec_of(file: Path) -> StudySpec:
    return load_space(file, SpaceFlags(), env={}).spec


def test_a_simulation_without_a_complete_trial_is_warned_of(space_file: Path) -> None:
    found = warnings(
        replace(spec_of(space_file), budget=Budget(trials=2)),
        backbones=[Backbone(info=CATALOGUE["efficientnet_lite0"], size=96)],
        expected=Expected(rungs=(1, 9), trials=(2, 0), epochs=4),
        machine=CPU,
        cluster=False,
    )
    assert [problem.fact for problem in found] == [
        "2 trials are not expected to reach one full trial"
    ]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param(None, 2, id="all"),
        pytest.param("", 0, id="none"),
        pytest.param("-1", 0, id="minus_one"),
        pytest.param("1", 1, id="one"),
    ],
)
def test_cards_are_counted_by_their_device_files(
    tmp_path: Path, visible: str | None, expected: int
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    machine = this_machine(env, devices=tmp_path)
    assert machine.gpus == expected
    assert machine.cpus >= 1


def test_blocks_shows_which_modules_each_block_is_and_from_which_depth_it_is_trained() -> None:
    text = block_lines([CATALOGUE["resnet18"], CATALOGUE["timm:test_vit"]])
    assert text[0] == "blocks"
    assert text[2].split() == [
        *("resnet18", "stem", "unfreeze_depth", "5", "9,536"),
        *("conv1,", "bn1,", "relu,", "maxpool"),
    ]
    assert text[6].split()[:4] == ["stage4", "unfreeze_depth", "1", "8,393,728"]
    assert text[11].endswith("blocks.3-5, norm")
