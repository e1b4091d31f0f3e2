"""From what was typed to a checked study."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.cli.options import SpaceFlags
from search.cli.prepare import ready_weights
from search.cli.space_file import load_space, to_overrides
from search.cli.space_source import given
from search.problems import Exit, SearchError


def problems_of(path: Path, flags: SpaceFlags | None = None) -> SearchError:
    with pytest.raises(SearchError) as caught:
        load_space(path, flags or SpaceFlags(), env={})
    assert caught.value.status is Exit.USAGE
    return caught.value


def test_every_flag_replaces_its_line(space_file: Path, tmp_path: Path) -> None:
    flags = SpaceFlags(
        data=str(tmp_path),
        name="flowers",
        trials=40,
        minutes=120.5,
        concurrency=3,
        storage="sqlite:///other.db",
        sets=("epochs.max=27", "space.lr=1e-3"),
    )
    spec = load_space(space_file, flags, env={"SEARCH_STORAGE": "sqlite:///env.db"}).spec
    assert (spec.data.path, spec.data.sample) == (str(tmp_path), None)
    assert spec.data.max_images == 600  # the rest of the section stays
    assert spec.name == "flowers"
    assert (spec.budget.trials, spec.budget.minutes) == (40, 120.5)
    assert spec.resources.concurrency == 3
    assert spec.storage == "sqlite:///other.db"
    assert spec.epochs.max == 27


@pytest.mark.parametrize("name", ["images.csv", "IMAGES.CSV"])
def test_data_that_ends_in_csv_is_a_manifest(space_file: Path, name: str) -> None:
    spec = load_space(space_file, SpaceFlags(data=name), env={}).spec
    assert (spec.data.manifest, spec.data.path, spec.data.sample) == (name, None, None)


@pytest.mark.parametrize(
    ("typed", "path", "refused"),
    [
        pytest.param("memory://flowers/all", "memory://flowers/all", None, id="url"),
        pytest.param("~nobody-of-this-name/x", "~nobody-of-this-name/x", Exit.DATA, id="no_home"),
    ],
)
def test_data_may_be_a_url_and_a_home_that_is_none_is_a_path_that_is_not_there(
    space_file: Path, typed: str, path: str, refused: Exit | None
) -> None:
    loaded = load_space(space_file, SpaceFlags(data=typed), env={})
    assert loaded.spec.data.path == path
    assert (loaded.refused.status if loaded.refused else None) == refused


def test_a_secret_in_a_url_of_images_is_not_shown(space_file: Path) -> None:
    error = problems_of(space_file, SpaceFlags(data="s3://me:hunter2@bucket/x"))
    assert "credentials" in str(error)
    assert "hunter2" not in str(error)


def test_a_flag_is_taken_literally_and_a_set_is_yaml(space_file: Path) -> None:
    flags = SpaceFlags(data="on: [a]", sets=("space.augmentation=[none, heavy]",))
    spec = load_space(space_file, flags, env={}).spec
    assert spec.data.path == "on: [a]"


def test_search_storage_wins_over_the_file_and_storage_over_both(space_file: Path) -> None:
    env = {"SEARCH_STORAGE": "sqlite:///env.db"}
    assert load_space(space_file, SpaceFlags(), env=env).spec.storage == "sqlite:///env.db"
    flags = SpaceFlags(storage="sqlite:///flag.db")
    assert load_space(space_file, flags, env=env).spec.storage == "sqlite:///flag.db"


def test_problems_of_flags_and_file_come_in_one_go(space_file: Path) -> None:
    space_file.write_text(
        space_file.read_text(encoding="utf-8").replace("image_size", "image_sise"),
        encoding="utf-8",
    )
    flags = SpaceFlags(sets=("lr", "space.dropout=2"))
    facts = [problem.fact for problem in problems_of(space_file, flags).problems]
    assert facts[0] == "--set lr: not KEY=VALUE"
    assert any("image_sise" in fact for fact in facts)
    assert any("dropout" in fact for fact in facts)


def test_a_password_in_a_storage_flag_is_not_shown(space_file: Path) -> None:
    overrides, _ = to_overrides(
        SpaceFlags(), env={"SEARCH_STORAGE": "postgresql://me:hunter2@host/db"}
    )
    assert "hunter2" not in overrides[0].flag
    error = problems_of(space_file, SpaceFlags(storage="oracle://me:hunter2@host/db"))
    assert "hunter2" not in str(error)


def test_a_file_that_is_not_there_brings_its_neighbour(space_file: Path) -> None:
    error = problems_of(space_file.with_name("solr.yaml"))
    assert error.problems[0].fact == f"{space_file.with_name('solr.yaml')}: no such file"
    assert error.problems[0].fix == f"did you mean {space_file}?"


def test_a_name_without_its_ending_is_understood(space_file: Path) -> None:
    assert str(space_file) in problems_of(space_file.with_suffix("")).problems[0].fix


def test_a_folder_is_told_from_a_file(space_file: Path, tmp_path: Path) -> None:
    problem = problems_of(tmp_path).problems[0]
    assert problem.fact == f"{tmp_path}: a folder, not a space file"
    assert problem.fix == f"one of: {space_file}"


def test_a_folder_of_images_is_offered_as_data(tmp_path: Path) -> None:
    (tmp_path / "roses").mkdir()
    assert problems_of(tmp_path).problems[0].fix == f"spaces/vision.yaml --data {tmp_path}"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        pytest.param(b"study: {name: caf\xe9}\n", "UTF-8", id="latin_1"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"a: \x00\n", "", id="nul"),
        pytest.param(b"x" * 3_000_000, "", id="large"),
    ],
)
def test_what_is_no_space_file_is_refused(tmp_path: Path, content: bytes, fact: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    assert fact in str(problems_of(file))


def test_a_nul_in_the_name_is_no_such_file() -> None:
    assert "no such file" in str(problems_of(Path("a\0b.yaml")))


def test_a_run_without_a_space_lists_those_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spaces").mkdir()
    for name in ("quick.yaml", "vision.yaml"):
        (tmp_path / "spaces" / name).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SearchError) as caught:
        given(None, "run")
    assert caught.value.problems[0].fact == "search run needs a space file"
    assert caught.value.problems[0].fix == "search run spaces/quick.yaml (or spaces/vision.yaml)"


def weighted(file: Path, weights: str) -> Path:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("weights: {unavailable: skip}", f"weights: {weights}"))
    return file


def test_a_file_of_weights_that_is_not_there_is_told_at_its_place(space_file: Path) -> None:
    weighted(space_file, "{files: {resnet50: mine.safetensors}}")
    refused = load_space(space_file, SpaceFlags(), env={}).refused
    assert refused is not None
    assert refused.status is Exit.MISSING
    (problem,) = refused.problems
    assert "weights.files names mine.safetensors" in problem.fact
    assert problem.place is not None
    assert (problem.place.line, problem.place.length) == (15, len("mine.safetensors"))
    there = space_file.with_name("mine.safetensors")
    there.touch()
    weighted_again = space_file.read_text().replace("mine.safetensors", str(there))
    space_file.write_text(weighted_again)
    assert load_space(space_file, SpaceFlags(), env={}).refused is None


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        pytest.param("~nobody-of-this-name/x.pth", "is no file", id="no_home"),
        pytest.param("x" * 300, "cannot be read: file name too long", id="long"),
        pytest.param("closed/x.pth", "cannot be read: permission denied", id="closed"),
    ],
)
def test_any_name_of_a_file_of_weights_is_told_without_a_traceback(
    space_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fact: str
) -> None:
    if name.startswith("closed") and os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    monkeypatch.chdir(tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    weighted(space_file, f"{{files: {{resnet50: {name}}}}}")
    refused = load_space(space_file, SpaceFlags(), env={}).refused
    closed.chmod(0o700)
    assert refused is not None
    assert refused.problems[0].fact.endswith(fact)


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        pytest.param("{resnet50: no.pth}", False, id="another_backbone_is_left"),
        pytest.param("{resnet50: no.pth, efficientnet_lite0: no.pth}", True, id="none_is_left"),
        pytest.param("{alexnet: no.pth}", False, id="of_no_backbone_of_the_space"),
    ],
)
def test_a_space_that_skips_what_is_missing_needs_one_backbone(
    space_file: Path, files: str, refused: bool
) -> None:
    weighted(space_file, f"{{unavailable: skip, files: {files}}}")
    assert bool(load_space(space_file, SpaceFlags(), env={}).refused) == refused


def test_missing_images_and_weights_are_told_together(space_file: Path) -> None:
    weighted(space_file, "{files: {resnet50: mine.safetensors}}")
    refused = load_space(space_file, SpaceFlags(data="flwers"), env={}).refused
    assert refused is not None
    assert refused.status is Exit.DATA
    assert len(refused.problems) == 2


def test_a_wrong_flag_hides_neither_missing_images_nor_missing_weights(space_file: Path) -> None:
    weighted(space_file, "{files: {resnet50: mine.safetensors}}")
    error = problems_of(space_file, SpaceFlags(data="flwers", sets=("foo",)))
    said = ["--set foo: not KEY=VALUE", "flwers does not exist", "names mine.safetensors"]
    for problem, fact in zip(error.problems, said, strict=True):
        assert fact in problem.fact


def test_a_run_leaves_out_what_the_plan_leaves_out(space_file: Path, tmp_path: Path) -> None:
    weighted(space_file, "{unavailable: skip, files: {resnet50: no.pth}}")
    spec = load_space(space_file, SpaceFlags(), env={}).spec
    said: list[object] = []
    ready, left_out = ready_weights(spec, tmp_path, (), said.append)
    assert ([each.name for each in ready], left_out) == (["efficientnet_lite0"], ["resnet50"])
    assert "left out, for their weights are not here: resnet50" in str(said)


@pytest.mark.parametrize("key", ["files: {alexnet: a.pth}", "tags: {alexnet: IMAGENET1K_V1}"])
def test_weights_of_a_backbone_that_no_trial_can_have_are_warned_of(
    space_file: Path, key: str
) -> None:
    weighted(space_file, f"{{{key}}}")

    def said(*sets: str) -> list[str]:
        loaded = load_space(space_file, SpaceFlags(sets=sets), env={}, images=False)
        return [each.fact for each in loaded.warnings if "alexnet" in each.fact]

    assert said() == [
        f"weights.{key.partition(':')[0]}: alexnet is no backbone of this space, "
        "which has efficientnet_lite0, resnet50"
    ]
    assert said("space.dropout=0") == []  # a flag changed the space


def test_a_file_to_extend_that_is_not_there_is_answered_with_what_is(
    space_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = space_file.read_text(encoding="utf-8")
    for name, fix in (
        ("elsewhere.yaml", "one of preset/balanced, preset/"),
        ("solr.yaml", "solar.yaml"),
        ("balanced", "preset/balanced"),
    ):
        mine = tmp_path / "mine.yaml"
        mine.write_text(f"extends: {name}\n{text}", encoding="utf-8")
        (problem,) = problems_of(mine).problems
        assert problem.fact == f"{name}: no such file"
        assert problem.fix.startswith(fix)
